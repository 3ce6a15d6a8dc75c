"""`Waveform`: recordings in memory, (B, S) in [-1, 1], whole; `sound_file` and `sound_writer` do the audio I/O, alone.

Paths go in and waveforms come out; waveforms go in and files come out. Formats are those of libsndfile
(WAV, FLAC, OGG, MP3), any rate and channel count; channels are averaged.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vczoo.audio.provenance_mark import Mark
from vczoo.audio.reader import AUDIO_SUFFIXES, SoundReader
from vczoo.audio.resampling import resampler, whole_rate
from vczoo.audio.writer import SoundWriter
from vczoo.errors import AudioError

__all__ = ["AUDIO_SUFFIXES", "LONGEST_SECONDS", "Waveform"]

LONGEST_SECONDS = 30.0  # that a backbone hears at once: longer recordings are taken as several


@dataclass(frozen=True)
class Waveform:
    """A batch of mono recordings at one sample rate.

    Attributes:
        samples: (B, S) float32 in [-1, 1]; past an item's length there is silence.
        sample_rate_hz: samples a second.
        lengths: (B,) int64, valid samples of each item.
        mark: what made it, where it was converted or read from a file that says so; `save` writes it into the file.
    """

    samples: Tensor
    sample_rate_hz: int
    lengths: Tensor
    mark: Mark | None = None

    @classmethod
    def of(cls, samples: Tensor, sample_rate_hz: int) -> Waveform:
        """Wrap `samples` of shape (S,) or (B, S), all of them valid.

        Raises:
            AudioError: for any other shape.
        """
        if samples.ndim == 1:
            samples = samples[None]
        if samples.ndim != 2:
            raise AudioError(f"a waveform has shape (S,) or (B, S), batch first and mono, got {tuple(samples.shape)}")
        lengths = torch.full((samples.shape[0],), samples.shape[1], dtype=torch.int64, device=samples.device)
        return cls(samples.float(), int(sample_rate_hz), lengths)

    @classmethod
    def batch(cls, waves: Sequence[Waveform]) -> Waveform:
        """Stack waveforms of one rate, the shorter ones followed by silence; a mark that all of them have stays.

        Raises:
            AudioError: when there is none, or when the rates differ.
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
    def read(cls, path: str | os.PathLike[str], sample_rate_hz: int | None = None) -> Waveform:
        """Read one recording, averaged to mono and, where `sample_rate_hz` is given, resampled to it: (1, S).

        Raises:
            AudioError: the file is absent, is not audio, is truncated, is shorter than 20 ms, holds NaN or
                infinity, is silent throughout, or its rate has too small a factor in common with the wanted one.
        """
        reader = SoundReader(path)
        wave = replace(cls.of(torch.from_numpy(np.concatenate(list(reader))), reader.sample_rate_hz), mark=reader.mark)
        try:
            return wave if sample_rate_hz is None else wave.resample(sample_rate_hz)
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from error

    def __len__(self) -> int:
        return self.samples.shape[0]

    def __getitem__(self, index: int) -> Waveform:
        """One item, (1, length), without its padding."""
        length = int(self.lengths[index])
        return self._cut(self.samples[index, :length])

    @property
    def seconds(self) -> float:
        """Valid seconds, all items together."""
        return float(self.lengths.sum()) / self.sample_rate_hz

    def to(self, device: torch.device | str) -> Waveform:
        """The same waveform on another device."""
        return replace(self, samples=self.samples.to(device), lengths=self.lengths.to(device))

    def resample(self, sample_rate_hz: int) -> Waveform:
        """Resample with a windowed sinc (torchaudio); each item keeps its duration.

        Raises:
            AudioError: for a rate that is not a positive whole number, or has too small a factor in common with
                this one.
        """
        sample_rate_hz = whole_rate(sample_rate_hz)
        if sample_rate_hz == self.sample_rate_hz:
            return self
        samples = resampler(self.sample_rate_hz, sample_rate_hz, self.samples.device)(self.samples)
        lengths = torch.clamp(
            (self.lengths * sample_rate_hz + self.sample_rate_hz - 1) // self.sample_rate_hz,
            max=samples.shape[1],
        )
        # The filter rings on past an item's end; there is silence there, as when the item is resampled alone.
        valid = torch.arange(samples.shape[1], device=samples.device) < lengths[:, None]
        return Waveform(samples * valid, sample_rate_hz, lengths, self.mark)

    def parts(self, longest_seconds: float = LONGEST_SECONDS) -> list[Waveform]:
        """Every item, (1, length); in parts of equal duration where it is longer than that."""
        items = [self[index] for index in range(len(self))]
        return [part for item in items for part in item._parts(math.ceil(item.seconds / longest_seconds))]

    def _parts(self, count: int) -> list[Waveform]:
        parts = self.samples.tensor_split(max(1, count), dim=1)
        return [self._cut(part) for part in parts]

    def _cut(self, samples: Tensor) -> Waveform:
        """A part of this one, all of it valid."""
        return replace(Waveform.of(samples, self.sample_rate_hz), mark=self.mark)

    def trim(self, below_peak_db: float = 40.0, frame_seconds: float = 0.02) -> Waveform:
        """Cut silence from both ends of each item: frames whose RMS is `below_peak_db` under the loudest frame."""
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
        """Write the one item to a file, 16-bit, in the format of its suffix, with its mark; return the path.

        The file appears whole or not at all. Samples outside [-1, 1] are clipped.

        Raises:
            AudioError: the batch holds several items, the suffix is not a known format, the path exists and
                `overwrite` is false, or the disk refuses.
        """
        path = Path(path)
        if len(self) != 1:
            raise AudioError(f"{path}: one file holds one waveform, this batch has {len(self)}; save wave[i]")
        with SoundWriter(path, self.sample_rate_hz, overwrite=overwrite, mark=self.mark) as file:
            file.write(self[0].samples[0].detach().clamp(-1.0, 1.0).cpu().numpy())
        return path
