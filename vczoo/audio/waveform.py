"""`Waveform`: a batch of mono recordings in memory, (B, S) in [-1, 1], with reading, writing and resampling.

`reader` and `writer` do the audio I/O, block by block.
"""

from __future__ import annotations

import base64
import html
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vczoo.audio.limits import LARGEST_PEAK, check_fits_memory, check_rate, check_speech
from vczoo.audio.provenance_mark import Mark
from vczoo.audio.pytrees import register_tensors
from vczoo.audio.reader import AUDIO_SUFFIXES, SoundReader
from vczoo.audio.resampling import resample, whole_rate
from vczoo.audio.writer import SoundWriter, wav_content
from vczoo.errors import AudioError

__all__ = ["AUDIO_SUFFIXES", "LONGEST_SECONDS", "Waveform", "unit_floats"]

PLAYED_ITEMS, PLAYED_SECONDS = 5, 60.0  # of a waveform that a notebook shows; a minute takes 2 MB at 16 kHz
LONGEST_SECONDS = 30.0  # the longest input of a backbone; longer recordings are split into parts


def unit_floats(samples: Tensor) -> Tensor:
    """Convert samples to float32 in [-1, 1], dividing integers by the largest value of their type.

    Raises:
        AudioError: The type is not a float or an integer of 8, 16 or 32 bits, or floats are far outside [-1, 1].
    """
    if samples.dtype == torch.uint8:  # unsigned, with silence in the middle, as in an 8-bit WAV
        return (samples.float() - 128) / 128
    if samples.dtype in (torch.int8, torch.int16, torch.int32):
        return (samples.double() / -float(torch.iinfo(samples.dtype).min)).float()
    if not samples.is_floating_point():
        raise AudioError(
            f"samples must be floats in [-1, 1], or integers of 8, 16 or 32 bits, got {samples.dtype}; convert them"
        )
    # Only of what a caller brings: not of a network's output, whose value an export or a GPU does not have at hand.
    brought = samples.device.type == "cpu" and not samples.requires_grad and not torch.compiler.is_compiling()
    peak = float(samples.abs().max()) if brought and samples.numel() else 0.0
    if LARGEST_PEAK < peak < math.inf:
        raise AudioError(
            f"samples must lie in [-1, 1], but reach {peak:g}. They look like integers that were not scaled; divide "
            "them by 32768 (16 bits) or 2147483648 (32 bits)"
        )
    return samples.float()


@dataclass(frozen=True, repr=False)
class Waveform:
    """A batch of mono recordings at one sample rate.

    Attributes:
        samples: Samples (B, S), float32 in [-1, 1]. Past an item's length there is silence.
        sample_rate_hz: Sample rate in Hz.
        lengths: Number of valid samples of each item, (B,) int64.
        mark: Provenance mark of a converted recording, or of a file that carries one; None otherwise. `save` writes it
            into the file.
    """

    samples: Tensor
    sample_rate_hz: int
    lengths: Tensor
    mark: Mark | None = None

    @classmethod
    def of(cls, samples: Tensor, sample_rate_hz: int) -> Waveform:
        """Wrap samples of shape (S,) or (B, S), all of them valid.

        Args:
            samples: Floats in [-1, 1]. Integers of 8, 16 or 32 bits are divided by the largest value of their type.
            sample_rate_hz: Sample rate in Hz.

        Raises:
            AudioError: `samples` has another shape or type, or floats far outside [-1, 1].
        """
        samples = unit_floats(samples)
        if samples.ndim == 1:
            samples = samples[None]
        if samples.ndim != 2:
            raise AudioError(f"a waveform has shape (S,) or (B, S), batch first and mono, got {tuple(samples.shape)}")
        lengths = torch.full((samples.shape[0],), samples.shape[1], dtype=torch.int64, device=samples.device)
        return cls(samples, int(sample_rate_hz), lengths)

    @classmethod
    def batch(cls, waves: Sequence[Waveform]) -> Waveform:
        """Stack waveforms of one sample rate, with silence after the shorter ones.

        The batch has a mark if all waveforms have the same one.

        Raises:
            AudioError: `waves` is empty, or the sample rates differ.
        """
        rates = {wave.sample_rate_hz for wave in waves}
        if len(rates) != 1:
            raise AudioError(f"a batch needs waveforms of one sample rate, got {sorted(rates) or 'no waveform'}")
        lengths = torch.cat([wave.lengths for wave in waves])
        longest = int(lengths.max())
        rows = [
            torch.nn.functional.pad(wave.samples[:, :longest], (0, max(0, longest - wave.samples.shape[1])))
            for wave in waves
        ]
        first = waves[0].mark
        mark = first if all(wave.mark == first for wave in waves) else None
        return cls(torch.cat(rows), rates.pop(), lengths, mark)

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], sample_rate_hz: int | None = None, channel: str | None = None
    ) -> Waveform:
        """Read one recording as (1, S).

        Args:
            path: A sound file, in any format that libsndfile or FFmpeg decodes.
            sample_rate_hz: Sample rate to resample to. None keeps the file's.
            channel: "left", "right" or "mix" (the average). None averages the channels, unless one of them is silent or
                they cancel out; an `AudioWarning` then says which one is used.

        Raises:
            AudioError: The file is missing, is not audio, is truncated or damaged, is shorter than 20 ms, contains NaN,
                infinity or samples far outside [-1, 1], is silent throughout, has a rate below 2 kHz, or is too long to
                be in memory as a whole (1.4 hours at 48 kHz).
        """
        return cls.decode(SoundReader(path, channel), sample_rate_hz)

    @classmethod
    def decode(cls, reader: SoundReader, sample_rate_hz: int | None = None) -> Waveform:
        """Read the recording of a reader as (1, S), as `read` does.

        Args:
            reader: The opened recording.
            sample_rate_hz: Sample rate to resample to. None keeps the file's.

        Raises:
            AudioError: As for `read`.
        """
        wave = replace(cls.of(torch.from_numpy(reader.whole(sample_rate_hz)), reader.sample_rate_hz), mark=reader.mark)
        return wave if sample_rate_hz is None else wave.resample(sample_rate_hz)

    def __repr__(self) -> str:
        shape, marked = tuple(self.samples.shape), ", marked as synthetic" * (self.mark is not None)
        return f"<Waveform {shape}: {self.seconds:.2f} s at {self.sample_rate_hz} Hz{marked}>"

    def _repr_html_(self) -> str:
        """A player for notebooks: the first minute of up to five items, with their mark."""
        lines = [f"<div>{html.escape(repr(self))}</div>"]
        most = round(PLAYED_SECONDS * self.sample_rate_hz)
        for index in range(min(len(self), PLAYED_ITEMS)):
            samples = self[index].samples[0, :most].detach().cpu().float()
            if samples.numel() and bool(samples.isfinite().all()):
                sound = base64.b64encode(wav_content(samples.numpy(), self.sample_rate_hz, self.mark)).decode()
                lines.append(f'<audio controls preload="metadata" src="data:audio/wav;base64,{sound}"></audio>')
            if int(self.lengths[index]) > most:
                lines.append(f"<div>the first {PLAYED_SECONDS:.0f} s; save it to hear the rest</div>")
        if len(self) > PLAYED_ITEMS:
            lines.append(f"<div>and {len(self) - PLAYED_ITEMS} more recordings</div>")
        return "\n".join(lines)

    def numpy(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The samples as a NumPy array on the CPU: (S,) for one recording, otherwise (B, S)."""
        samples = self.samples.detach().cpu().float().numpy()
        return samples[0] if len(self) == 1 else samples

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        samples = np.asarray(self.numpy(), dtype)
        return samples.copy() if copy else samples

    def __len__(self) -> int:
        return self.samples.shape[0]

    def __getitem__(self, index: int) -> Waveform:
        """One item, (1, length), without its padding."""
        length = int(self.lengths[index])
        return self._cut(self.samples[index, :length])

    @property
    def seconds(self) -> float:
        """Total duration of all items in seconds, without padding."""
        return float(self.lengths.sum()) / self.sample_rate_hz

    def check(self, *, speech: bool = False) -> None:
        """Refuse what `read` would refuse in a file.

        Args:
            speech: Whether each item has to hold speech: at least 20 ms, and not silent throughout.

        Raises:
            AudioError: Samples are NaN or infinite, or the sample rate is below 2 kHz or above 768 kHz; or, with
                `speech`, there is no item, or one is too short or silent.
        """
        check_rate(self.sample_rate_hz)
        bad = self.samples.numel() - int(self.samples.isfinite().sum())
        if bad:
            raise AudioError(f"{bad} of {self.samples.numel()} samples are NaN or infinite; check what computed them")
        if speech and not len(self):
            raise AudioError("an empty batch of recordings; give at least one")
        for index in range(len(self) if speech else 0):
            samples = self[index].samples
            peak = float(samples.abs().max()) if samples.numel() else 0.0
            check_speech(samples.numel(), self.sample_rate_hz, peak)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Waveform:
        """The same waveform on another device, or with another type of floats.

        Raises:
            AudioError: `dtype` is not a type of floats.
        """
        if dtype is not None and not dtype.is_floating_point:
            raise AudioError(f"samples are floats, so {dtype} is not possible; choose float32, float16 or bfloat16")
        return replace(self, samples=self.samples.to(device, dtype), lengths=self.lengths.to(device))

    def resample(self, sample_rate_hz: int) -> Waveform:
        """Resample. Each item keeps its duration, to the nearest sample, and equals itself resampled alone.

        Raises:
            AudioError: `sample_rate_hz` is not a positive whole number; the result would take more than 1 GB; or the
                samples need a gradient or are on a GPU, and the common factor of the two rates is too small.
        """
        sample_rate_hz = whole_rate(sample_rate_hz)
        if sample_rate_hz == self.sample_rate_hz:
            return self
        check_fits_memory(self.seconds, sample_rate_hz)
        rows = [
            resample(row[:length], self.sample_rate_hz, sample_rate_hz)
            for row, length in zip(self.samples, self.lengths.tolist(), strict=True)
        ]
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64, device=self.lengths.device)
        return Waveform(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), sample_rate_hz, lengths, self.mark)

    def parts(self, longest_seconds: float = LONGEST_SECONDS) -> list[Waveform]:
        """Split into single items, (1, length); items longer than `longest_seconds` into parts of equal duration."""
        items = [self[index] for index in range(len(self))]
        return [part for item in items for part in item._parts(math.ceil(item.seconds / longest_seconds))]

    def _parts(self, count: int) -> list[Waveform]:
        parts = self.samples.tensor_split(max(1, count), dim=1)
        return [self._cut(part) for part in parts]

    def _cut(self, samples: Tensor) -> Waveform:
        """A part of this waveform; all its samples are valid."""
        return replace(Waveform.of(samples, self.sample_rate_hz), mark=self.mark)

    def trim(self, below_peak_db: float = 40.0, frame_seconds: float = 0.02) -> Waveform:
        """Trim silence from both ends of each item.

        Args:
            below_peak_db: A frame is silent if its RMS is more than this many dB below that of the loudest frame.
            frame_seconds: Length of a frame in seconds.
        """
        frame = max(1, round(frame_seconds * self.sample_rate_hz))
        items = []
        for index in range(len(self)):
            samples = self[index].samples[0]
            count = -(-samples.numel() // frame)
            padded = torch.nn.functional.pad(samples, (0, count * frame - samples.numel()))
            rms = padded.view(count, frame).square().mean(dim=1).sqrt()
            loud = torch.nonzero(rms >= rms.max() * 10 ** (-below_peak_db / 20)).flatten()
            start, stop = int(loud[0]) * frame, min((int(loud[-1]) + 1) * frame, samples.numel())
            items.append(self._cut(samples[start:stop]))
        return Waveform.batch(items)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save a waveform of one item as a 16-bit sound file with its mark, and return the path.

        The file is written completely or not at all. Samples outside [-1, 1] are clipped.

        Args:
            path: The file to write. Its suffix chooses the format.
            overwrite: Whether to replace an existing file.

        Raises:
            AudioError: The batch holds several items, the suffix is not a known format, the path exists and
                `overwrite` is false, or the disk refuses.
        """
        path = Path(path)
        if len(self) != 1:
            raise AudioError(f"{path}: a file holds one waveform, got a batch of {len(self)}; save wave[i]")
        with SoundWriter(path, self.sample_rate_hz, overwrite=overwrite, mark=self.mark) as file:
            file.write(self[0].samples[0].detach().clamp(-1.0, 1.0).cpu().numpy())
        return path


register_tensors(Waveform, "samples", "lengths")
