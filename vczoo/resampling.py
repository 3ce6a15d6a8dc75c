"""Blocks of samples at one rate in, blocks at another out: as if the whole had been resampled at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["BlockResampler"]

ZERO_CROSSINGS = 8  # that a block's neighbours are known for; the filter reaches over 6 and a little


class BlockResampler:
    """A windowed sinc (torchaudio) over a stream of blocks; the same samples come out however it is cut.

    Args:
        from_hz: rate of what goes in.
        to_hz: rate of what comes out.

    Attributes:
        delay_seconds: how far what came out may be behind what went in.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        common = math.gcd(from_hz, to_hz)
        self.old, self.new = from_hz // common, to_hz // common
        self.from_hz, self.to_hz = from_hz, to_hz
        reach = math.ceil(ZERO_CROSSINGS * max(self.old, self.new) / self.new)
        self.context = 0 if self.old == self.new else -(-reach // self.old) * self.old
        self.delay_seconds = 0.0 if self.old == self.new else (self.context + self.old) / from_hz
        self.held = torch.zeros(0)
        self.first = 0  # position of the first sample held
        self.done = 0  # samples of the input that the output reaches to; a multiple of `old`
        self.made = 0

    def push(self, samples: Tensor) -> Tensor:
        """(S,) in, what can be said for sure out: (S',), perhaps of length 0."""
        if self.old == self.new:
            return samples
        self.held = torch.cat([self.held, samples])
        until = (self.first + len(self.held) - self.context) // self.old * self.old
        return self._resample(until) if until > self.done else samples[:0]

    def finish(self) -> Tensor:
        """The rest, (S',): all that came out lasts as long as all that went in, rounded up to a sample."""
        total = self.first + len(self.held)
        missing = -(-total * self.new // self.old) - self.made
        return self._resample(-(-total // self.old) * self.old)[:missing] if missing > 0 else self.held[:0]

    def _resample(self, until: int) -> Tensor:
        from torchaudio.functional import resample

        made: Tensor = resample(self.held, self.from_hz, self.to_hz)
        skipped = (self.done - self.first) // self.old * self.new
        made = made[skipped : skipped + (until - self.done) // self.old * self.new]
        kept = max(self.first, until - self.context)
        self.held, self.first, self.done = self.held[kept - self.first :], kept, until
        self.made += len(made)
        return made
