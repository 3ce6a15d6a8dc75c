"""WAV containers: lengths that are placeholders or out of date, unpadded chunks, and joined recordings.

Recorders that were not closed, and programs that write to a pipe, leave a length that is not true. Such a file is read
through a repaired header.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from itertools import count as count_from
from pathlib import Path
from typing import BinaryIO

from vczoo.errors import AudioError
from vczoo.io.files import open_file

__all__ = ["MOST_CHUNKS", "PLACEHOLDER", "Container", "Part", "PartFile", "inspect_wav", "too_many_chunks"]

MOST_CHUNKS = 1000  # of a file; recorders write a dozen

PLACEHOLDER = 0x7FFF0000  # lengths from here on are written by programs that did not know the length
LARGEST_CHUNKS = 1 << 20  # bytes before the sound; what exceeds them is not copied into a repaired header
BLOCK = 1 << 20


def too_many_chunks(most: int = MOST_CHUNKS) -> AudioError:
    """The error for a container that is made to be walked forever."""
    return AudioError(f"its container has more than {most} chunks, so it is damaged; export it again")


@dataclass(frozen=True)
class Part:
    """One of several recordings in a file, or a recording whose header has to be replaced.

    Attributes:
        header: A header with the true length; empty if the recording has its own.
        start: Position in the file, in bytes: of the first sample, or of the recording's own header.
        length: Number of bytes from there.
    """

    header: bytes
    start: int
    length: int


@dataclass(frozen=True)
class Container:
    """The result of `inspect`.

    Attributes:
        kind: The container format, such as "wav", "flac" or "mp4"; "" if it is unknown.
        truncated: Description of what is missing; "" if nothing is.
        parts: The recordings of a file that holds several, or whose header states a wrong length. Empty if the file can
            be read as it is.
        joined: Whether a FLAC or OGG file holds several recordings, or has no length.
    """

    kind: str = ""
    truncated: str = ""
    parts: tuple[Part, ...] = ()
    joined: bool = False


class PartFile(io.RawIOBase):
    """A `Part` as a file: its header, followed by its bytes of the original file."""

    def __init__(self, path: Path, part: Part) -> None:
        self._file = open_file(path)
        self._part = part
        self._position = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be sought in."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, and return the new position; -1, without moving, if it would be before the beginning."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self._part.header) + self._part.length}
        position = base[whence] + offset
        if position < 0:
            return -1
        self._position = position
        return position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read the next bytes into a buffer, and return their number."""
        header = self._part.header
        if self._position < len(header):
            content = header[self._position : self._position + len(buffer)]
        else:
            offset = self._position - len(header)
            self._file.seek(self._part.start + offset)
            content = self._file.read(max(0, min(len(buffer), self._part.length - offset)))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        """Close the original file."""
        self._file.close()
        super().close()


def inspect_wav(file: BinaryIO, size: int, kind: str) -> Container:
    """Inspect a RIFF, RF64 or RIFX file, whose chunks are a name, a 32-bit length, and content of even length.

    Raises:
        AudioError: It has too many chunks, or holds too many recordings.
    """
    parts: list[Part] = []
    repaired, start = False, 0
    while start < size:
        found = _wav_part(file, size, start)
        if found is None:
            break  # the decoder reports what is wrong
        part, truncated, wrong, following = found
        if truncated:
            return Container(kind, truncated)
        parts.append(part)
        if len(parts) > MOST_CHUNKS:
            raise too_many_chunks()
        repaired = repaired or wrong or start > 0
        if following is None:
            break
        start = following
    return Container(kind, parts=tuple(parts) if repaired else ())


def _wav_part(file: BinaryIO, size: int, start: int) -> tuple[Part, str, bool, int | None] | None:
    """Read one WAV header.

    Returns:
        The part; what is missing from it; whether its header is wrong; and where the next recording starts. None if no
        sound follows the header.
    """
    file.seek(start)
    order = ">" if file.read(12)[:4] == b"RIFX" else "<"
    chunks, unpadded, long_length, position = b"", False, None, start + 12
    for count in count_from(1):
        if count > MOST_CHUNKS:
            raise too_many_chunks()
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            return None
        name, length = struct.unpack(f"{order}4sI", header)
        body = position + 8
        if name == b"data":
            break
        content = file.read(length) if length <= LARGEST_CHUNKS - len(chunks) else b""
        if name == b"ds64" and len(content) >= 16:
            long_length = struct.unpack("<Q", content[8:16])[0]
        elif content:
            chunks += header + content + b"\0" * (length % 2)
        position = body + length + length % 2
        if length % 2 and _is_chunk(file, size, position - 1, order) and not _is_chunk(file, size, position, order):
            unpadded, position = True, position - 1
    if length == 0xFFFFFFFF and long_length:
        length = long_length
    available = size - body
    unknown = length >= PLACEHOLDER and available < length // 2
    if length == 0 and available > 1:
        unknown = not _is_chunk(file, size, body, order)
    if unknown:
        return _part(order, chunks, body, available), "", True, None
    if length > available:
        return (
            _part(order, chunks, body, available),
            f"only {available} of {length} bytes of sound are present",
            False,
            None,
        )
    for end in (body + length + length % 2, body + length):
        file.seek(end)
        if (head := file.read(12))[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:] == b"WAVE":
            return _part(order, chunks, body, length), "", unpadded, end
    if _is_end(file, size, body + length, order):
        return _part(order, chunks, body, length), "", unpadded, None
    return _part(order, chunks, body, available), "", True, None  # the sound goes on after its stated length


def _part(order: str, chunks: bytes, start: int, length: int) -> Part:
    stated = min(length, 0xFFFFFFFF)
    total = min(4 + len(chunks) + 8 + length, 0xFFFFFFFF)
    name = b"RIFX" if order == ">" else b"RIFF"
    header = name + struct.pack(f"{order}I", total) + b"WAVE" + chunks + b"data" + struct.pack(f"{order}I", stated)
    return Part(header, start, length)


def _is_chunk(file: BinaryIO, size: int, position: int, order: str) -> bool:
    """Whether a chunk may begin at a position: a printable name, and a length that fits into the file."""
    file.seek(position)
    header = file.read(8)
    if len(header) < 8 or not all(0x20 <= byte < 0x7F for byte in header[:4]):
        return False
    length = struct.unpack(f"{order}I", header[4:])[0]
    return header[:4] == b"data" or position + 8 + length <= size + 1


def _is_end(file: BinaryIO, size: int, position: int, order: str) -> bool:
    """Whether the sound really ends at a position: nothing, metadata, or only zeros follow."""
    if size - position <= 1:
        return True
    for start in (position, position + 1):
        file.seek(start)
        if file.read(8)[:3] in (b"ID3", b"TAG", b"APE") or _is_chunk(file, size, start, order):
            return True
    file.seek(position)
    while block := file.read(BLOCK):
        if block.count(0) < len(block):
            return False
    return True
