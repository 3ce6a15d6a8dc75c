"""Samples at one rate in, at another out; block by block, too, as if the whole had been resampled at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from vczoo.errors import AudioError

__all__ = ["BlockResampler", "resampler", "whole_rate"]

FILTER_ZERO_CROSSINGS, ROLLOFF = 6, 0.99  # torchaudio's defaults
LARGEST_KERNEL = 64_000_000  # bytes; one of two rates that share no factor would take gigabytes
KEPT_KERNELS = 16  # pairs of rates; a common one's kernel takes some kilobytes
ZERO_CROSSINGS = 8  # that a block's neighbours are known for; the filter reaches over 6 and a little


def whole_rate(sample_rate_hz: float) -> int:
    """A sample rate as the whole number that it is.

    Raises:
        AudioError: it is none, or below 1.
    """
    if not 1 <= sample_rate_hz < math.inf or sample_rate_hz != int(sample_rate_hz):
        raise AudioError(f"a sample rate is a positive whole number of Hz, got {sample_rate_hz!r}")
    return int(sample_rate_hz)


@lru_cache(maxsize=KEPT_KERNELS)
def resampler(from_hz: int, to_hz: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    """What brings samples (..., S), float32, from one rate to another: a windowed sinc (torchaudio), made once.

    Raises:
        AudioError: the rates share too small a factor: there is a filter for each sample until both meet again.
    """
    common = math.gcd(from_hz, to_hz)
    old, new = from_hz // common, to_hz // common
    size = 4 * new * (old + 2 * math.ceil(FILTER_ZERO_CROSSINGS * old / (min(old, new) * ROLLOFF)))
    if size > LARGEST_KERNEL:
        raise AudioError(
            f"{from_hz} Hz cannot be resampled to {to_hz} Hz: their common factor is {common}, and "
            f"the filter would take {size / 1e6:.0f} MB, {LARGEST_KERNEL / 1e6:.0f} at most; bring the recording to a "
            "common rate first: ffmpeg -i RECORDING -ar 44100 NEW.wav"
        )
    from torchaudio.transforms import Resample

    with torch.inference_mode(False):  # a tensor that is made in inference mode could not be trained through later
        made: Callable[[Tensor], Tensor] = Resample(from_hz, to_hz, dtype=torch.float32).to(device)
    return made


class BlockResampler:
    """A windowed sinc (torchaudio) over a stream of blocks; the same samples come out however it is cut.

    Args:
        from_hz: rate of what goes in.
        to_hz: rate of what comes out.

    Attributes:
        delay_seconds: how far what came out may be behind what went in.

    Raises:
        AudioError: as `whole_rate` and `resampler`.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        from_hz, to_hz = whole_rate(from_hz), whole_rate(to_hz)
        common = math.gcd(from_hz, to_hz)
        self.old, self.new = from_hz // common, to_hz // common
        reach = math.ceil(ZERO_CROSSINGS * max(self.old, self.new) / self.new)
        self.context = 0 if self.old == self.new else -(-reach // self.old) * self.old
        self.resample = resampler(from_hz, to_hz, torch.device("cpu"))
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
        made = self.resample(self.held)
        skipped = (self.done - self.first) // self.old * self.new
        made = made[skipped : skipped + (until - self.done) // self.old * self.new]
        kept = max(self.first, until - self.context)
        self.held, self.first, self.done = self.held[kept - self.first :], kept, until
        self.made += len(made)
        return made
