"""Block-wise reading of sound files as mono samples, and of their provenance mark.

It reads the formats of libsndfile (WAV, FLAC, OGG, MP3) at any sample rate and channel count; channels are averaged.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from vczoo.audio.provenance_mark import Mark
from vczoo.errors import AudioError

__all__ = ["AUDIO_SUFFIXES", "BLOCK_SAMPLES", "Samples", "SoundReader", "read_mark"]

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
SHORTEST_SECONDS = 0.02  # one analysis window of speech
SILENCE_PEAK = 1e-4  # -80 dBFS: below the noise floor of any recording
BLOCK_SAMPLES = 65536

Samples = np.ndarray[tuple[int], np.dtype[np.float32]]


class SoundReader:
    """Reader of one recording. Each iteration over it reads the file from its beginning, in blocks.

    Attributes:
        path: The sound file.
        sample_rate_hz: Sample rate in Hz.
        promised: Number of samples according to the file's header. MP3 headers, and those of a WAV written to a pipe,
            only estimate it.
        mark: Provenance mark in the file's comment, or None.

    Raises:
        AudioError: The file is missing, is not audio, or its container is truncated.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise AudioError(f"{self.path}: a folder, but a recording was expected; give a sound file")
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise AudioError(f"{self.path}: no such file ({error.strerror}); check the path") from error
        if size == 0:
            raise AudioError(f"{self.path}: the file is empty (0 bytes); record or export it again")
        try:
            if promised := _truncation(self.path, size):
                raise AudioError(f"{self.path}: truncated, {promised}; copy or export it again")
            with self._open() as file:
                self.promised, self.sample_rate_hz = int(file.frames), int(file.samplerate)
                self.mark = Mark.parse(file.comment)
        except (soundfile.SoundFileError, RuntimeError, OSError) as error:
            raise self._not_audio(error) from error

    @property
    def seconds(self) -> float:
        """Duration in seconds according to the header."""
        return self.promised / self.sample_rate_hz

    def __iter__(self) -> Iterator[Samples]:
        """Yield blocks (S,), float32 in [-1, 1].

        Raises:
            AudioError: The file is truncated, is shorter than 20 ms, contains NaN or infinity, or is silent
                throughout. NaN and infinity raise before their block is yielded; the other faults raise at the end.
        """
        count, peak = 0, 0.0
        blocks = self._decoded()
        for block in blocks:
            finite = np.isfinite(block)
            if not finite.all():
                rest = [(int((~np.isfinite(later)).sum()), later.size) for later in blocks]
                bad = int((~finite).sum()) + sum(amount for amount, _ in rest)
                total = count + block.size + sum(amount for _, amount in rest)
                raise AudioError(f"{self.path}: {bad} of {total} samples are NaN or infinite; export it again")
            count += block.size
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            yield np.clip(block, -1.0, 1.0)
        if count < SHORTEST_SECONDS * self.sample_rate_hz:
            raise AudioError(
                f"{self.path}: {count} samples at {self.sample_rate_hz} Hz, shorter than "
                f"{SHORTEST_SECONDS * 1000:g} ms; use a longer recording"
            )
        if peak < SILENCE_PEAK:
            raise AudioError(f"{self.path}: silent throughout (peak below -80 dBFS); check the recording")

    def _decoded(self) -> Iterator[Samples]:
        """Yield the file's blocks, averaged to mono and unchecked. The last one is short or empty."""
        count = 0
        try:
            with self._open() as file:
                while True:  # in blocks: a damaged header may promise more than memory holds
                    block = file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)
                    count += len(block)
                    yield block.mean(axis=1)
                    if len(block) < BLOCK_SAMPLES:
                        break
        except (soundfile.SoundFileError, RuntimeError, OSError) as error:
            raise self._not_audio(error) from error
        # A cut FLAC decodes to fewer frames than its header promises. MP3 headers only estimate, so they pass.
        if self.path.suffix.lower() != ".mp3" and 0 < count < self.promised < 2**62:
            raise AudioError(
                f"{self.path}: truncated, {count} of {self.promised} samples could be decoded; copy or export it again"
            )

    def _open(self) -> soundfile.SoundFile:
        # As bytes, because soundfile cannot encode names that are not UTF-8. Windows has no such names.
        return soundfile.SoundFile(self.path if os.name == "nt" else os.fsencode(self.path))

    def _not_audio(self, error: Exception) -> AudioError:
        return AudioError(
            f"{self.path}: not audio that libsndfile can read ({error}); convert it to WAV, FLAC, OGG or MP3"
        )


def read_mark(path: str | os.PathLike[str]) -> Mark | None:
    """Read the provenance mark of a sound file. This does not import torch.

    Args:
        path: A sound file.

    Returns:
        The mark that vczoo writes into converted recordings, or None. None proves nothing, because a mark is easily
        lost or removed.

    Raises:
        AudioError: The file is missing, is not audio, or its container is truncated.
    """
    return SoundReader(path).mark


def _truncation(path: Path, size: int) -> str:
    """Describe what is missing from a truncated WAV or OGG container; return "" if nothing is.

    libsndfile reads truncated files without an error, so the containers are checked here.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            position = 12
            while len(header := file.read(8)) == 8:
                name, length = struct.unpack("<4sI", header)
                if name == b"data":
                    available = size - position - 8
                    streamed = length in (0, 0xFFFFFFFF)  # written to a pipe: the length was unknown
                    complete = streamed or available >= length
                    return "" if complete else f"only {available} of {length} bytes of sound are present"
                position += 8 + length + length % 2
                file.seek(position)
        elif head[:4] == b"OggS":
            file.seek(max(0, size - 65307 - 27))  # the largest possible page
            tail = file.read()
            page = tail[max(0, tail.rfind(b"OggS")) :]
            body = sum(page[27 : 27 + page[26]]) if len(page) > 26 else 0
            if len(page) < 27 or len(page) < 27 + page[26] + body:
                return "its last page is incomplete"
            if not page[5] & 4:
                return "its last page is not marked as the end of the stream"
    return ""
