"""Block-wise reading of sound files as mono samples, and of their provenance mark.

It reads what libsndfile and FFmpeg decode, at any sample rate and channel count. Channels are averaged, unless that
would lose the speech (see `channels`).
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile

from vczoo.audio.channels import Downmix, Samples, choose_downmix
from vczoo.audio.decoder import BLOCK_SAMPLES
from vczoo.audio.decoders import open_sound
from vczoo.audio.limits import CLIPPED_PEAK, LARGEST_PEAK, check_fits_memory, check_rate, check_speech
from vczoo.audio.provenance_mark import Mark
from vczoo.errors import AudioError, AudioWarning
from vczoo.io.text import harmless

__all__ = ["AUDIO_SUFFIXES", "BLOCK_SAMPLES", "Samples", "SoundReader", "read_mark"]

# The files that a folder is searched for. A single file may have any suffix, since its content decides.
AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf"),
    *(".w64", ".rf64", ".m4a", ".m4b", ".aac", ".mp4", ".mov", ".mkv", ".mka", ".webm", ".3gp", ".3g2", ".wma"),
    *(".amr", ".mp2", ".voc", ".wv"),
)


class SoundReader:
    """Reader of one recording. Each iteration over it reads the file from its beginning, in blocks.

    Args:
        path: The sound file.
        channel: "left", "right" or "mix" (the average). None averages the channels, unless that would lose the speech.

    Attributes:
        path: The sound file.
        sample_rate_hz: Sample rate in Hz.
        promised: Number of samples according to the file's header, or its estimate; 0 if it has none.
        mark: Provenance mark in the file's comment, or None.

    Raises:
        AudioError: The file is missing, is not audio, or its container is truncated; or it has no such channel.
    """

    def __init__(self, path: str | os.PathLike[str], channel: str | None = None) -> None:
        self.path, self._channel = Path(path), channel
        self._name = harmless(self.path)
        self._check_file()
        try:
            self._decoder = open_sound(self.path)
            check_rate(self._decoder.sample_rate_hz)
            if channel is not None:
                choose_downmix((), self._decoder.num_channels, self._decoder.sample_rate_hz, channel)
        except (soundfile.SoundFileError, OSError, MemoryError) as error:
            raise AudioError(f"{self._name}: cannot be read ({_reason(error)}); check the file") from error
        except AudioError as error:
            raise self._located(error) from error
        self.promised, self.sample_rate_hz = self._decoder.promised, self._decoder.sample_rate_hz
        self.mark = next(filter(None, map(Mark.parse, self._decoder.comments)), None)

    def _check_file(self) -> None:
        """Refuse a path that is not a file with content."""
        try:
            status = self.path.stat()
        except FileNotFoundError as error:
            raise AudioError(f"{self._name}: no such file; check the path") from error
        except (OSError, ValueError) as error:  # ValueError: a null byte
            raise AudioError(f"{self._name}: cannot be read ({_reason(error)}); check the path") from error
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(f"{self._name}: a folder, but a recording was expected; give a sound file")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{self._name}: a pipe or a device, but a recording was expected; save it to a file first")
        if status.st_size == 0:
            raise AudioError(f"{self._name}: the file is empty (0 bytes); record or export it again")

    @property
    def seconds(self) -> float:
        """Duration in seconds according to the header."""
        return self.promised / self.sample_rate_hz

    def __iter__(self) -> Iterator[Samples]:
        """Yield blocks (S,), float32 in [-1, 1].

        A recording whose channels are not simply averaged, whose samples are clipped, or of which damaged parts are
        left out, is reported by an `AudioWarning`.

        Raises:
            AudioError: The file is truncated or damaged, is shorter than 20 ms, contains NaN, infinity or samples far
                outside [-1, 1], or is silent throughout. Wrong values raise before their block is yielded; the other
                faults raise at the end.
        """
        count, peak = 0, 0.0
        blocks = self._mono()
        for block in blocks:
            finite = np.isfinite(block)
            if not finite.all():
                rest = [(int((~np.isfinite(later)).sum()), later.size) for later in blocks]
                bad = int((~finite).sum()) + sum(amount for amount, _ in rest)
                total = count + block.size + sum(amount for _, amount in rest)
                raise AudioError(f"{self._name}: {bad} of {total} samples are NaN or infinite; export it again")
            count += block.size
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            if peak > LARGEST_PEAK:
                raise AudioError(
                    f"{self._name}: its samples reach {peak:g}, but floats must lie in [-1, 1]. They look like "
                    "integers that were not scaled; divide them by 32768 (16 bits) or 2147483648 (32 bits)"
                )
            yield np.clip(block, -1.0, 1.0)
        try:
            check_speech(count, self.sample_rate_hz, peak)
        except AudioError as error:
            raise self._located(error) from error
        if peak > CLIPPED_PEAK:
            self._warn(f"it is {20 * np.log10(peak):.0f} dB too loud, and its peaks were clipped; lower its level")

    def whole(self, sample_rate_hz: int | None = None) -> Samples:
        """Read the recording as a whole, (S,).

        Args:
            sample_rate_hz: Sample rate that it will be resampled to, which decides whether it fits into memory.

        Raises:
            AudioError: As for iterating; or it is too long to be in memory as a whole (see `limits`), according to its
                header or in truth.
        """
        rate = max(self.sample_rate_hz, sample_rate_hz or 0)
        samples = bytearray()  # which grows in place, so that no second copy is needed
        try:
            check_fits_memory(self.seconds, rate)
            for block in self:
                check_fits_memory((len(samples) // 4 + block.size) / self.sample_rate_hz, rate)
                samples += block.data
        except MemoryError as error:
            raise AudioError(
                f"{self._name}: there is not enough memory to read it; cut it into shorter files"
            ) from error
        except AudioError as error:
            raise self._located(error) from error
        return np.frombuffer(samples, np.float32)

    def _mono(self) -> Iterator[Samples]:
        try:
            downmix = self._downmix
            if downmix.note:
                self._warn(downmix.note)
            for block in self._decoder.blocks():
                yield downmix(block)
        except (OSError, MemoryError) as error:
            raise AudioError(f"{self._name}: cannot be read ({_reason(error)}); check the file") from error

    @cached_property
    def _downmix(self) -> Downmix:
        decoder = self._decoder
        return choose_downmix(decoder.blocks(), decoder.num_channels, decoder.sample_rate_hz, self._channel)

    def _warn(self, message: str) -> None:
        warnings.warn(f"{self._name}: {message}", AudioWarning, stacklevel=2)

    def _located(self, error: AudioError) -> AudioError:
        text = str(error)
        return error if text.startswith(self._name) else AudioError(f"{self._name}: {text}")


def _reason(error: Exception) -> str:
    """Why a file cannot be read, without its path, which the message has already."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


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
