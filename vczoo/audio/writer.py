"""Block-wise writing of mono sound files in the formats of libsndfile. A file is written completely or not at all."""

from __future__ import annotations

import io
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import soundfile

from vczoo.audio.channels import Samples
from vczoo.audio.decoder import BLOCK_SAMPLES
from vczoo.audio.provenance_mark import Mark
from vczoo.errors import AudioError
from vczoo.io.files import file_above, write_beside

__all__ = ["WRITE_SUFFIXES", "Depth", "SoundWriter", "wav_content"]

LARGEST_WAV = 2**32 - 4096  # bytes of sound, since a WAV stores lengths in 32 bits
_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}
WRITE_SUFFIXES = tuple(_FORMATS)

Depth = Literal["16", "24", "float"]  # bits of a sample, or 32-bit floats
_SUBTYPES = {("WAV", "24"): "PCM_24", ("WAV", "float"): "FLOAT", ("FLAC", "24"): "PCM_24"}
_BYTES = {"16": 2, "24": 3, "float": 4}  # of a sample


class SoundWriter:
    """Context manager that writes a mono sound file, block by block.

    The complete file appears when the context ends. If it ends with an error, no file is left.

    Args:
        path: The file to write. Its suffix chooses the format.
        sample_rate_hz: Sample rate in Hz.
        overwrite: Whether to replace an existing file.
        mark: Provenance mark to write into the file's metadata (RIFF INFO of WAV, Vorbis comment of FLAC and OGG, ID3
            of MP3), or None.
        depth: Bits of a sample: "16", "24" (WAV and FLAC) or "float" (WAV).

    Raises:
        AudioError: The suffix is not a known format or has no such samples, the path exists and `overwrite` is false,
            one of its parent folders is a file, or the disk cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate_hz: int,
        *,
        overwrite: bool = False,
        mark: Mark | None = None,
        depth: Depth = "16",
    ) -> None:
        self.path, self.sample_rate_hz, self.overwrite, self.mark = Path(path), sample_rate_hz, overwrite, mark
        self.written = 0
        file_format = _FORMATS.get(self.path.suffix.lower())
        if file_format is None:
            suffix = self.path.suffix or "a file without suffix"
            raise AudioError(f"{self.path}: cannot write {suffix}; use one of {', '.join(WRITE_SUFFIXES)}")
        self.format = file_format
        self.subtype = _SUBTYPES.get((file_format, depth))  # None: 16 bits, or what the format compresses to
        self.sample_bytes = _BYTES.get(depth, 0)
        if depth != "16" and self.subtype is None:
            raise AudioError(
                f"{self.path}: samples of depth {depth!r} cannot be written; the depth is 16, 24 (.wav and .flac) or "
                "float (.wav)"
            )
        if self.path.exists() and not overwrite:
            raise self._write_error(FileExistsError())
        if above := file_above(self.path):
            raise AudioError(
                f"{self.path}: cannot be written, because {above} is a file, not a folder; choose another path"
            )

    def __enter__(self) -> Self:
        self._open = ExitStack()
        try:
            beside = self._open.enter_context(write_beside(self.path, overwrite=self.overwrite))
            self._sink = _Sink(beside)
            self._open.callback(self._sink.close)
            self._file = soundfile.SoundFile(self._sink, "w", self.sample_rate_hz, 1, self.subtype, format=self.format)
            self._open.callback(self._file.close)
            # Before the samples, because FLAC, OGG and MP3 accept no metadata after them.
            _write_mark(self._file, self.mark)
        except (OSError, soundfile.SoundFileError) as error:
            self._open.__exit__(type(error), error, error.__traceback__)
            raise self._write_error(error) from error
        return self

    def write(self, samples: Samples) -> None:
        """Append samples (S,). Values outside [-1, 1] are clipped.

        Raises:
            AudioError: A sample is NaN or infinite, the disk cannot be written, or a WAV file would become larger than
                4 GiB.
        """
        if not np.isfinite(samples).all():
            count = int((~np.isfinite(samples)).sum())
            raise AudioError(
                f"{self.path}: {count} of {samples.size} samples to write are NaN or infinite; check what computed them"
            )
        self.written += samples.size
        if self.format == "WAV" and self.sample_bytes * self.written > LARGEST_WAV:
            raise AudioError(f"{self.path}: a WAV file holds at most 4 GiB; write .flac, .ogg or .mp3")
        samples = np.clip(samples, -1.0, 1.0)
        try:
            # In blocks, because libsndfile's Vorbis encoder overflows the stack on a minute of audio at once.
            for start in range(0, len(samples), BLOCK_SAMPLES):
                self._file.write(samples[start : start + BLOCK_SAMPLES])
            self._sink.check()
        except (OSError, soundfile.SoundFileError) as error:
            raise self._write_error(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._open.__exit__(kind, error, trace)
            return
        try:
            try:
                self._file.close()
                self._sink.close()
                self._sink.check()
            except BaseException as failure:
                self._open.__exit__(type(failure), failure, failure.__traceback__)
                raise
            self._open.close()
        except (OSError, soundfile.SoundFileError) as failure:
            raise self._write_error(failure) from failure

    def _write_error(self, error: Exception) -> AudioError:
        if isinstance(error, FileExistsError) and self.path.exists():  # otherwise a parent folder is meant
            return AudioError(f"{self.path} exists; choose another name, or set overwrite")
        return AudioError(f"{self.path}: cannot be written ({error}); nothing was left behind")


def wav_content(samples: Samples, sample_rate_hz: int, mark: Mark | None = None) -> bytes:
    """A 16-bit mono WAV as bytes.

    Args:
        samples: Finite samples (S,). Values outside [-1, 1] are clipped.
        sample_rate_hz: Sample rate in Hz.
        mark: Provenance mark to write into its metadata, or None.
    """
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", sample_rate_hz, 1, format="WAV") as file:
        _write_mark(file, mark)
        file.write(np.clip(samples, -1.0, 1.0))
    return content.getvalue()


def _write_mark(file: soundfile.SoundFile, mark: Mark | None) -> None:
    if mark:
        # libsndfile writes ID3 without its UTF-8 flag, so other programs would read it as Latin-1.
        file.comment = mark.line(ascii_only=file.format == "MP3")
        file.software = f"vczoo {mark.vczoo}"


class _Sink:
    """File object for libsndfile that records write errors, since libsndfile reports none for its last block."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb+")
        self.error: OSError | None = None

    def write(self, content: bytes) -> int:
        try:
            if self.error is None:
                self.file.write(content)
        except OSError as error:
            self.error = error
        return len(content)

    def read(self, size: int = -1) -> bytes:
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self.file.seek(offset, whence)
        except OSError as error:  # seeking flushes the buffer first
            self.error = self.error or error
            return 0

    def tell(self) -> int:
        return self.file.tell()

    def flush(self) -> None: ...

    def close(self) -> None:
        try:
            self.file.close()
        except OSError as error:
            self.error = self.error or error

    def check(self) -> None:
        if self.error is not None:
            raise self.error
