"""Utterances in, batches of excerpts out: what a vocoder is trained on. Which ones, a seed decides alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Utterance

__all__ = ["VocoderSegments"]


class VocoderSegments:
    """Recordings, decoded once and kept in memory: an hour at 16 kHz takes 230 MB.

    Args:
        utterances: to read; at least one.
        sample_rate_hz: that they are resampled to.
        length: of an excerpt, in samples; silence follows a recording that is shorter.

    Raises:
        AudioError: a recording can no longer be read.
    """

    def __init__(self, utterances: Sequence[Utterance], sample_rate_hz: int, length: int) -> None:
        self.length = length
        self.recordings = [
            torch.nn.functional.pad(samples, (0, max(0, length - len(samples))))
            for utterance in utterances
            for samples in [Waveform.read(utterance.path, sample_rate_hz).samples[0]]
        ]
        # Every second of every recording is as likely as any other.
        self.shares = torch.tensor([len(samples) for samples in self.recordings], dtype=torch.float64)

    def draw(self, count: int, seed: int, gain_db: float = 0.0) -> Tensor:
        """(count, length) of excerpts from random places, each louder or quieter by up to `gain_db`.

        They are the same for the same seed.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.multinomial(self.shares, count, replacement=True, generator=generator).tolist()
        places = torch.rand(count, generator=generator, dtype=torch.float64).tolist()
        rows = []
        for index, place in zip(chosen, places, strict=True):
            samples = self.recordings[index]
            start = int(place * (len(samples) - self.length + 1))
            rows.append(samples[start : start + self.length])
        excerpts = torch.stack(rows)
        if gain_db:
            gains = (2 * torch.rand(count, 1, generator=generator) - 1) * gain_db
            louder = excerpts * 10 ** (gains / 20)
            excerpts = louder / louder.abs().amax(dim=1, keepdim=True).clamp(min=1)  # clipping would be learnt
        return excerpts
