"""Checks of sound containers: truncation, joined recordings, and lengths that are placeholders or out of date.

Decoders read a damaged container as far as it goes and report nothing, so the containers are checked before decoding.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from itertools import count as count_from
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from vczoo.audio.wav_container import MOST_CHUNKS, PLACEHOLDER, Container, Part, inspect_wav, too_many_chunks
from vczoo.io.files import open_file

__all__ = ["inspect"]

LARGEST_OGG_PAGE = 65307
MOST_BOXES = 100_000  # of an MP4 that was written as a stream, which has two for each second
BLOCK = 1 << 20
ASF_START = b"\x30\x26\xb2\x75"
FLAC_STARTS = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")  # with the header of STREAMINFO


def inspect(path: Path) -> Container:
    """Find out the format of a sound file, and whether its container is complete.

    Raises:
        AudioError: Its container has too many chunks.
        OSError: The file cannot be read.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(36)
        for kind, matches, check in _KINDS:
            if matches(head):
                return check(file, size, kind)
    return Container()


def _aiff(file: BinaryIO, size: int, kind: str) -> Container:
    """AIFF: big-endian chunks inside FORM."""
    starts, sounds, position = [0], 0, 12
    for _ in _counted():
        if position + 8 > size:
            break
        file.seek(position)
        name, length = struct.unpack(">4sI", file.read(8))
        available = size - position - 8
        if name == b"FORM":  # another recording
            starts.append(position)
            position += 12
            continue
        if name == b"SSND":
            sounds += 1
            if length >= PLACEHOLDER:  # the length was unknown, so this is the last chunk
                break
            if length > available:
                return Container(kind, f"only {available} of {length} bytes of sound are present")
        position += 8 + length + length % 2
    return Container(kind, "" if sounds else "it ends before its sound", _joined(starts, size))


def _counted(most: int = MOST_CHUNKS) -> Iterator[int]:
    """Count the chunks of a container from 0.

    Raises:
        AudioError: There are more than `most`.
    """
    for number in count_from():
        if number > most:
            raise too_many_chunks(most)
        yield number


def _joined(starts: list[int], size: int) -> tuple[Part, ...]:
    """The recordings of a file that begin at these positions, if there are several."""
    if len(starts) < 2:
        return ()
    return tuple(Part(b"", start, end - start) for start, end in pairwise([*starts, size]))


def _au(file: BinaryIO, size: int, kind: str) -> Container:
    """AU: a header with the position and the length of the sound."""
    file.seek(4)
    start, length = struct.unpack(">II", file.read(8))
    available = size - start
    missing = length < PLACEHOLDER and length > available
    return Container(kind, f"only {available} of {length} bytes of sound are present" if missing else "")


def _caf(file: BinaryIO, size: int, kind: str) -> Container:
    """CAF: chunks with 64-bit lengths; -1 means up to the end of the file."""
    position = 8
    for _ in _counted():
        if position + 12 > size:
            break
        file.seek(position)
        name, length = struct.unpack(">4sq", file.read(12))
        available = size - position - 12
        if length > available:
            return Container(kind, f"only {available} of {length} bytes of its {name.decode('latin-1')} are present")
        if length < 0:
            break
        position += 12 + length
    return Container(kind)


def _w64(file: BinaryIO, size: int, kind: str) -> Container:
    """Wave64: chunks with a 16-byte name and a 64-bit length that includes the header, aligned to 8 bytes."""
    position = 40
    for _ in _counted():
        if position + 24 > size:
            break
        file.seek(position)
        name, length = struct.unpack("<16sQ", file.read(24))
        if length < 24:
            break
        if name[:4] == b"data" and length > size - position:
            return Container(kind, f"only {size - position - 24} of {length - 24} bytes of sound are present")
        position += -(-length // 8) * 8
    return Container(kind)


def _flac(file: BinaryIO, size: int, kind: str) -> Container:
    """FLAC. Its STREAMINFO states the number of samples, or 0 if it is unknown; a second one starts a recording."""
    file.seek(21)
    fields = file.read(5)
    unknown = len(fields) == 5 and int.from_bytes(fields, "big") & 0xFFFFFFFFF == 0
    return Container(kind, joined=unknown or any(_occurs(file, start) for start in FLAC_STARTS))


def _ogg(file: BinaryIO, size: int, kind: str) -> Container:
    """OGG: pages, of which the last one of a stream is marked. Opus, and chains of streams, count as joined."""
    file.seek(28)
    opus = file.read(8) == b"OpusHead"
    file.seek(max(0, size - LARGEST_OGG_PAGE - 27))
    tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    body = sum(page[27 : 27 + page[26]]) if len(page) > 26 else 0
    if len(page) < 27 or len(page) < 27 + page[26] + body:
        return Container(kind, "its last page is incomplete")
    if not page[5] & 4:
        return Container(kind, "its last page is not marked as the end of the stream")
    return Container(kind, joined=opus or _occurs(file, b"OggS\0\2"))


def _occurs(file: BinaryIO, pattern: bytes) -> bool:
    """Whether bytes occur after the beginning of a file."""
    file.seek(len(pattern))
    tail = b""
    while block := file.read(BLOCK):
        if pattern in tail + block:
            return True
        tail = block[-len(pattern) + 1 :]
    return False


def _mp4(file: BinaryIO, size: int, kind: str) -> Container:
    """MP4, M4A, MOV and 3GP: boxes with a length and a name. A recording without `moov` was never finished."""
    names, starts, position = set(), [0], 0
    for _ in _counted(MOST_BOXES):
        if position + 8 > size:
            break
        file.seek(position)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        elif length == 0:
            length = size - position
        if position + length > size:
            box = name.decode("latin-1")
            return Container(kind, f"only {size - position} of {length} bytes of its {box} are present")
        if name == b"ftyp" and b"moov" in names and position > 0:  # another recording
            starts.append(position)
        names.add(name)
        position += max(8, length)
    unfinished = "its index (moov) is missing, so the recording was never finished"
    return Container(kind, "" if b"moov" in names else unfinished, _joined(starts, size))


def _matroska(file: BinaryIO, size: int, kind: str) -> Container:
    """Matroska and WebM: one segment whose length is stated, unless the file was written as a stream."""
    position = 0
    for _ in _counted():
        if position >= size:
            break
        file.seek(position)
        identifier, marker_length = _ebml_number(file, keep_marker=True)
        length, length_length = _ebml_number(file, keep_marker=False)
        body = position + marker_length + length_length
        if not marker_length or not length_length or length == (1 << 7 * length_length) - 1:
            break
        if body + length > size:
            return Container(kind, f"only {size - body} of {length} bytes are present")
        position = body + length
        if identifier == 0x18538067 and position < size:
            file.seek(position)
            if file.read(4) != b"\x1a\x45\xdf\xa3":
                break
    return Container(kind)


def _ebml_number(file: BinaryIO, *, keep_marker: bool) -> tuple[int, int]:
    """A number of variable length, and the number of its bytes; 0, 0 if there is none."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, 0
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    if len(rest) < length - 1:
        return 0, 0
    value = first[0] if keep_marker else first[0] & ((1 << (8 - length)) - 1)
    return int.from_bytes(bytes([value]) + rest, "big"), length


def _asf(file: BinaryIO, size: int, kind: str) -> Container:
    """WMA: objects with a 16-byte name and a 64-bit length."""
    starts, position = [], 0
    for _ in _counted():
        if position + 24 > size:
            break
        file.seek(position)
        name, length = struct.unpack("<16sQ", file.read(24))
        if name[:4] == ASF_START:
            starts.append(position)
        if length < 24:
            break
        if position + length > size:
            return Container(kind, f"only {size - position} of {length} bytes of an object are present")
        position += length
    return Container(kind, parts=_joined(starts, size))


def _other(_: BinaryIO, __: int, kind: str) -> Container:
    return Container(kind)


def _is_mp3(head: bytes) -> bool:
    return head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4, 0xE6))


_KINDS: tuple[tuple[str, Callable[[bytes], bool], Callable[[BinaryIO, int, str], Container]], ...] = (
    ("wav", lambda head: head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE", inspect_wav),
    ("aiff", lambda head: head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"), _aiff),
    ("au", lambda head: head[:4] == b".snd" and len(head) >= 12, _au),
    ("au", lambda head: head[:4] == b"dns.", _other),  # with its low bytes first
    ("nist", lambda head: head[:7] == b"NIST_1A", _other),  # SPHERE, as of TIMIT
    ("caf", lambda head: head[:4] == b"caff", _caf),
    ("w64", lambda head: head[:4] == b"riff" and head[24:28] == b"wave", _w64),
    ("flac", lambda head: head[:4] == b"fLaC", _flac),
    ("ogg", lambda head: head[:4] == b"OggS", _ogg),
    ("mp4", lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"), _mp4),
    ("matroska", lambda head: head[:4] == b"\x1a\x45\xdf\xa3", _matroska),
    ("asf", lambda head: head[:4] == ASF_START, _asf),
    ("mp3", _is_mp3, _other),
)
