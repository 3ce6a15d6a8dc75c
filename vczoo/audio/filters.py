"""Shelving filters, and noise at a given signal-to-noise ratio."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["add_noise", "shelf"]

QUALITY = 0.707  # of the shelves: no overshoot at the corner
TAIL = 4096  # samples after which the impulse response of a shelf of speech rates has died out


def shelf(samples: Tensor, sample_rate_hz: int, gain_db: float, corner_hz: float, *, high: bool) -> Tensor:
    """Raise or lower the frequencies above or below a corner: (..., S) -> (..., S).

    Source: the biquad shelves of Robert Bristow-Johnson's Audio EQ Cookbook, applied to the spectrum.

    Args:
        samples: The samples.
        sample_rate_hz: Sample rate in Hz.
        gain_db: Gain of the shelf in dB, positive or negative.
        corner_hz: The corner frequency in Hz, below half the sample rate.
        high: Whether the shelf is above the corner instead of below it.
    """
    amplitude = 10.0 ** (gain_db / 40)
    angle = 2 * math.pi * corner_hz / sample_rate_hz
    cosine, width = math.cos(angle), 2 * math.sqrt(amplitude) * math.sin(angle) / (2 * QUALITY)
    sign = -1.0 if high else 1.0
    total, difference = amplitude + 1, sign * (amplitude - 1)
    numerator = (
        amplitude * (total - difference * cosine + width),
        sign * 2 * amplitude * (amplitude - 1 - sign * total * cosine),
        amplitude * (total - difference * cosine - width),
    )
    denominator = (
        total + difference * cosine + width,
        -sign * 2 * (amplitude - 1 + sign * total * cosine),
        total + difference * cosine - width,
    )
    length = samples.shape[-1] + TAIL
    spectrum = torch.fft.rfft(samples, length)
    powers = torch.exp(-2j * math.pi * torch.arange(spectrum.shape[-1], device=samples.device) / length)
    response = _polynomial(numerator, powers) / _polynomial(denominator, powers)
    filtered: Tensor = torch.fft.irfft(spectrum * response, length)[..., : samples.shape[-1]]
    return filtered


def _polynomial(coefficients: tuple[float, float, float], powers: Tensor) -> Tensor:
    first, second, third = coefficients
    return first + second * powers + third * powers.square()


def add_noise(samples: Tensor, noise: Tensor, snr_db: float) -> Tensor:
    """Add noise, scaled so that the signal's power is `snr_db` above the noise's: (..., S) and (..., S) -> (..., S)."""
    ratio = samples.square().sum(-1, keepdim=True) / noise.square().sum(-1, keepdim=True).clamp(min=1e-12)
    scaled: Tensor = noise * (ratio * 10.0 ** (-snr_db / 10)).sqrt()
    return samples + scaled
