"""Resampling of waveforms, whole or as a stream of blocks, with the same samples either way."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from vczoo.errors import AudioError

__all__ = ["BlockResampler", "resampler", "whole_rate"]

FILTER_ZERO_CROSSINGS, ROLLOFF = 6, 0.99  # torchaudio's defaults
LARGEST_KERNEL = 64_000_000  # bytes; for two rates without a common factor, a kernel would take gigabytes
CACHED_KERNELS = 16  # pairs of rates; the kernel of a common pair takes some kilobytes
ZERO_CROSSINGS = 8  # context on both sides of a block; the filter extends over slightly more than 6


def whole_rate(sample_rate_hz: float) -> int:
    """Convert a sample rate to an int.

    Raises:
        AudioError: The sample rate is not a whole number, or is below 1.
    """
    if not 1 <= sample_rate_hz < math.inf or sample_rate_hz != int(sample_rate_hz):
        raise AudioError(f"a sample rate must be a positive whole number of Hz, got {sample_rate_hz!r}")
    return int(sample_rate_hz)


@lru_cache(maxsize=CACHED_KERNELS)
def resampler(from_hz: int, to_hz: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Function that resamples (..., S), float32, with a windowed sinc (torchaudio). It is cached per pair of rates.

    Args:
        from_hz: Sample rate of the input.
        to_hz: Sample rate of the output.
        device: Device of the samples.

    Raises:
        AudioError: The common factor of the rates is too small. The kernel has one filter per output sample until the
            two grids of samples coincide again.
    """
    common = math.gcd(from_hz, to_hz)
    old, new = from_hz // common, to_hz // common
    size = 4 * new * (old + 2 * math.ceil(FILTER_ZERO_CROSSINGS * old / (min(old, new) * ROLLOFF)))
    if size > LARGEST_KERNEL:
        raise AudioError(
            f"{from_hz} Hz cannot be resampled to {to_hz} Hz: their common factor is {common}, so the "
            f"filter would take {size / 1e6:.0f} MB (at most {LARGEST_KERNEL / 1e6:.0f}); convert the recording to a "
            "common rate first: ffmpeg -i RECORDING -ar 44100 NEW.wav"
        )
    from torchaudio.transforms import Resample

    with torch.inference_mode(False):  # training cannot backpropagate through a tensor made in inference mode
        resample: Callable[[Tensor], Tensor] = Resample(from_hz, to_hz, dtype=torch.float32).to(device)
    return resample


class BlockResampler:
    """Resampler of a stream of blocks with a windowed sinc (torchaudio).

    The output does not depend on how the stream is split into blocks.

    Args:
        from_hz: Sample rate of the input.
        to_hz: Sample rate of the output.

    Attributes:
        delay_seconds: The most that the output can lag behind the input, in seconds.

    Raises:
        AudioError: A rate is not a positive whole number, or the common factor of the rates is too small.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        from_hz, to_hz = whole_rate(from_hz), whole_rate(to_hz)
        common = math.gcd(from_hz, to_hz)
        self.old, self.new = from_hz // common, to_hz // common
        reach = math.ceil(ZERO_CROSSINGS * max(self.old, self.new) / self.new)
        self.context = 0 if self.old == self.new else -(-reach // self.old) * self.old
        self.resample = resampler(from_hz, to_hz, torch.device("cpu"))
        self.delay_seconds = 0.0 if self.old == self.new else (self.context + self.old) / from_hz
        self.buffer = torch.zeros(0)
        self.first = 0  # position of the buffer's first sample
        self.done = 0  # number of input samples that the output covers, a multiple of `old`
        self.num_output = 0  # number of output samples so far

    def push(self, samples: Tensor) -> Tensor:
        """Add samples (S,) and return the output that is final, (S'), which may be empty."""
        if self.old == self.new:
            return samples
        self.buffer = torch.cat([self.buffer, samples])
        until = (self.first + len(self.buffer) - self.context) // self.old * self.old
        return self._resample(until) if until > self.done else samples[:0]

    def finish(self) -> Tensor:
        """Return the remaining output, (S').

        The whole output is as long as the whole input, rounded up to a sample.
        """
        total = self.first + len(self.buffer)
        missing = -(-total * self.new // self.old) - self.num_output
        return self._resample(-(-total // self.old) * self.old)[:missing] if missing > 0 else self.buffer[:0]

    def _resample(self, until: int) -> Tensor:
        resampled = self.resample(self.buffer)
        skipped = (self.done - self.first) // self.old * self.new
        output = resampled[skipped : skipped + (until - self.done) // self.old * self.new]
        first = max(self.first, until - self.context)
        self.buffer, self.first, self.done = self.buffer[first - self.first :], first, until
        self.num_output += len(output)
        return output
