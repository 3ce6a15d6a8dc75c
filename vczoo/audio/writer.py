"""Blocks of mono samples in, a whole sound file or none out, in a format of libsndfile."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile

from vczoo.audio.provenance_mark import Mark
from vczoo.audio.reader import AUDIO_SUFFIXES, BLOCK_SAMPLES, Samples
from vczoo.errors import AudioError
from vczoo.io.files import file_above, write_beside

__all__ = ["SoundWriter"]

LARGEST_WAV = 2**32 - 4096  # bytes of sound: a WAV's lengths are of 32 bits
_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}


class SoundWriter:
    """A mono file, 16-bit, in the format of its suffix, that is written block by block. Use it as a context.

    The file appears whole at the context's end, or not at all where the context ends with an error.

    Args:
        path: of the file.
        sample_rate_hz: samples a second.
        overwrite: whether a file that is there is replaced.
        mark: what the file's own metadata says: a WAV's RIFF INFO, a FLAC's or OGG's Vorbis comment, an MP3's ID3.

    Raises:
        AudioError: the suffix is not a known format, the path exists and `overwrite` is false, it would lie in a file,
            or the disk refuses.
    """

    def __init__(
        self, path: str | os.PathLike[str], sample_rate_hz: int, *, overwrite: bool = False, mark: Mark | None = None
    ) -> None:
        self.path, self.sample_rate_hz, self.overwrite, self.mark = Path(path), sample_rate_hz, overwrite, mark
        self.written = 0
        file_format = _FORMATS.get(self.path.suffix.lower())
        if file_format is None:
            suffix = self.path.suffix or "a file without suffix"
            raise AudioError(f"{self.path}: cannot write {suffix}; use {AUDIO_SUFFIXES}")
        self.format = file_format
        if self.path.exists() and not overwrite:
            raise self._refused(FileExistsError())
        if above := file_above(self.path):
            raise AudioError(f"{self.path}: cannot be made, since {above} is a file and no folder; choose another name")

    def __enter__(self) -> Self:
        self._open = ExitStack()
        try:
            beside = self._open.enter_context(write_beside(self.path, overwrite=self.overwrite))
            self._sink = _Sink(beside)
            self._open.callback(self._sink.close)
            self._file = soundfile.SoundFile(self._sink, "w", self.sample_rate_hz, 1, format=self.format)
            self._open.callback(self._file.close)
            if self.mark:  # before the samples: FLAC, OGG and MP3 take none after them
                # libsndfile writes ID3 without its flag of UTF-8, so that other programs would read Latin-1 there.
                self._file.comment = self.mark.line(ascii_only=self.format == "MP3")
                self._file.software = f"vczoo {self.mark.vczoo}"
        except (OSError, soundfile.SoundFileError) as error:
            self._open.__exit__(type(error), error, error.__traceback__)
            raise self._refused(error) from error
        return self

    def write(self, samples: Samples) -> None:
        """Append samples; those outside of [-1, 1] are clipped.

        Raises:
            AudioError: the disk refuses, or a WAV would be larger than a WAV can be.
        """
        self.written += samples.size
        if self.format == "WAV" and 2 * self.written > LARGEST_WAV:
            raise AudioError(f"{self.path}: a WAV file holds at most 4 GiB; write .flac, .ogg or .mp3")
        samples = np.clip(samples, -1.0, 1.0)
        try:
            # In blocks: libsndfile's Vorbis encoder overflows the stack on a minute at once.
            for start in range(0, len(samples), BLOCK_SAMPLES):
                self._file.write(samples[start : start + BLOCK_SAMPLES])
            self._sink.check()
        except (OSError, soundfile.SoundFileError) as error:
            raise self._refused(error) from error

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
            except BaseException as refused:
                self._open.__exit__(type(refused), refused, refused.__traceback__)
                raise
            self._open.close()
        except (OSError, soundfile.SoundFileError) as refused:
            raise self._refused(refused) from refused

    def _refused(self, error: Exception) -> AudioError:
        if isinstance(error, FileExistsError) and self.path.exists():  # else it is about a folder above
            return AudioError(f"{self.path} exists; choose another name, or overwrite it on purpose")
        return AudioError(f"{self.path}: cannot be written ({error}); nothing was left behind")


class _Sink:
    """What libsndfile writes to: it does not tell when its last block meets a full disk, so this remembers."""

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
        except OSError as error:  # what was buffered is written first
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
