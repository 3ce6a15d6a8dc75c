"""Resampling of waveforms, whole or as a stream of blocks, with the same samples either way (soxr).

soxr's filters pass frequencies up to 0.91 of the lower Nyquist frequency and suppress aliases by 120 dB. Tensors on a
GPU, and tensors that need a gradient, are resampled in torch by a windowed sinc with the same band and 100 dB.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import soxr
import torch
from torch import Tensor
from torch.nn import functional as F

from vczoo.errors import AudioError

__all__ = ["BlockResampler", "resample", "whole_rate"]

QUALITY = "HQ"
PASSBAND = 0.913  # of the lower Nyquist frequency, as soxr's HQ
STOPBAND_DB = 100.0
LARGEST_KERNEL = 64_000_000  # bytes; for two rates without a common factor, a kernel would take gigabytes
CACHED_KERNELS = 16  # pairs of rates; the kernel of a common pair takes some 100 kilobytes
PROBE_SECONDS = 0.5


def whole_rate(sample_rate_hz: float) -> int:
    """Convert a sample rate to an int.

    Raises:
        AudioError: The sample rate is not a whole number, or is below 1.
    """
    if not 1 <= sample_rate_hz < math.inf or sample_rate_hz != int(sample_rate_hz):
        raise AudioError(f"a sample rate must be a positive whole number of Hz, got {sample_rate_hz!r}")
    return int(sample_rate_hz)


def resample(samples: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Resample (..., S), float32, to (..., round(S * to_hz / from_hz)).

    Args:
        samples: The samples.
        from_hz: Sample rate of the input.
        to_hz: Sample rate of the output.

    Raises:
        AudioError: The samples need a gradient or are on a GPU, and the common factor of the rates is too small for
            torch: a kernel has one filter per output sample until the two grids of samples coincide again.
    """
    if from_hz == to_hz:
        return samples
    if samples.device.type == "cpu" and not (samples.requires_grad and torch.is_grad_enabled()):
        rows = samples.detach().reshape(-1, samples.shape[-1]).numpy()
        if not rows.size:
            return samples.new_zeros(*samples.shape[:-1], _rounded(samples.shape[-1], from_hz, to_hz))
        resampled = np.stack([soxr.resample(row, from_hz, to_hz, quality=QUALITY) for row in rows])
        return torch.from_numpy(resampled).reshape(*samples.shape[:-1], -1)
    return _resample_in_torch(samples, from_hz, to_hz)


def _rounded(count: int, from_hz: int, to_hz: int) -> int:
    """Number of samples after resampling: the duration, rounded to the nearest sample."""
    return (2 * count * to_hz + from_hz) // (2 * from_hz)


def _resample_in_torch(samples: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Resample by a polyphase filter, a convolution with one channel per phase."""
    common = math.gcd(from_hz, to_hz)
    old, new = from_hz // common, to_hz // common
    width, size = _kernel_size(old, new)
    if 4 * size * new > LARGEST_KERNEL:
        raise AudioError(
            f"{from_hz} Hz cannot be resampled to {to_hz} Hz in torch: their common factor is {common}, so the filter "
            f"would take {4 * size * new / 1e6:.0f} MB (at most {LARGEST_KERNEL / 1e6:.0f}); resample on the CPU, "
            "without a gradient"
        )
    with torch.inference_mode(False):  # training cannot backpropagate through a tensor made in inference mode
        kernel = _kernel(old, new, samples.device)
    count = samples.shape[-1]
    rows = F.pad(samples.reshape(-1, 1, count), (width, width + old))
    phases = F.conv1d(rows, kernel.to(samples.dtype), stride=old)
    resampled = phases.transpose(1, 2).reshape(*samples.shape[:-1], -1)
    return resampled[..., : _rounded(count, from_hz, to_hz)]


def _kernel_size(old: int, new: int) -> tuple[int, int]:
    """Samples of context on each side, and of the whole kernel, by Kaiser's formula for the length of a filter."""
    transition = math.pi * (1 - PASSBAND) * min(old, new) / old
    width = math.ceil((STOPBAND_DB - 7.95) / (2.285 * transition) / 2)
    return width, 2 * width + old


@lru_cache(maxsize=CACHED_KERNELS)
def _kernel(old: int, new: int, device: torch.device) -> Tensor:
    """The kernel (new, 1, 2 * width + old): for each output sample of a period, a sinc with a Kaiser window.

    Source: Oppenheim and Schafer, Discrete-Time Signal Processing, section 7.6.
    """
    width, size = _kernel_size(old, new)
    beta = 0.1102 * (STOPBAND_DB - 8.7)
    cutoff = (1 + PASSBAND) / 2 * min(old, new) / old  # of the input's Nyquist frequency
    position = torch.arange(size, dtype=torch.float64) - width
    distance = position[None] - torch.arange(new, dtype=torch.float64)[:, None] * old / new
    window = torch.special.i0(beta * (1 - (distance / width).clamp(-1, 1).square()).sqrt())
    window = window / torch.special.i0(torch.tensor(beta, dtype=torch.float64)) * (distance.abs() <= width)
    kernel = cutoff * torch.sinc(cutoff * distance) * window
    filters: Tensor = kernel[:, None].float().to(device)
    return filters


class BlockResampler:
    """Resampler of a stream of blocks (soxr).

    The output does not depend on how the stream is split into blocks, and equals that of `resample`.

    Args:
        from_hz: Sample rate of the input.
        to_hz: Sample rate of the output.

    Attributes:
        delay_seconds: The most that the output lags behind the input, in seconds, beyond the block at hand.

    Raises:
        AudioError: A rate is not a positive whole number.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self.from_hz, self.to_hz = whole_rate(from_hz), whole_rate(to_hz)
        self.stream = None
        self.delay_seconds = 0.0
        if self.from_hz != self.to_hz:
            self.stream = soxr.ResampleStream(self.from_hz, self.to_hz, 1, dtype="float32", quality=QUALITY)
            self.delay_seconds = _delay(self.from_hz, self.to_hz)

    def push(self, samples: Tensor) -> Tensor:
        """Add samples (S,) and return the output that is final, (S'), which may be empty."""
        return samples if self.stream is None else self._next(samples, last=False)

    def finish(self) -> Tensor:
        """Return the remaining output, (S'). The whole output is as long as the whole input, to the nearest sample."""
        return torch.zeros(0, dtype=torch.float32) if self.stream is None else self._next(torch.zeros(0), last=True)

    def _next(self, samples: Tensor, *, last: bool) -> Tensor:
        assert self.stream is not None
        content = samples.detach().cpu().float().numpy()
        return torch.from_numpy(self.stream.resample_chunk(content, last=last).copy())


@lru_cache(maxsize=64)
def _delay(from_hz: int, to_hz: int) -> float:
    """The largest lag of a stream, measured on silence one millisecond at a time. soxr states none in advance."""
    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality=QUALITY)
    size = max(1, from_hz // 1000)
    block = np.zeros(size, np.float32)
    consumed, produced, delay = 0, 0, 0.0
    while consumed < PROBE_SECONDS * from_hz:
        produced += len(stream.resample_chunk(block))
        consumed += size
        delay = max(delay, consumed / from_hz - produced / to_hz)
    return delay + 1.0 / to_hz
