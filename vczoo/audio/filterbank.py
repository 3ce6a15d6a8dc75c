"""Mel filter banks: triangular filters on the HTK or the Slaney mel scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["mel_filter_bank"]

# Slaney's scale (Auditory Toolbox, 1998) is linear up to 1 kHz and logarithmic above.
LINEAR_HZ_PER_MEL = 200.0 / 3
BREAK_HZ = 1000.0
LOG_STEP = math.log(6.4) / 27.0


def mel_filter_bank(
    num_bins: int, min_hz: float, max_hz: float, num_mels: int, sample_rate_hz: int, *, scale: str, slaney_norm: bool
) -> Tensor:
    """Compute a mel filter bank: (num_bins, num_mels), float32.

    The filters are those of librosa and torchaudio.

    Args:
        num_bins: Number of bins of the spectrum, from 0 Hz to half the sample rate.
        min_hz: Lower edge of the lowest filter.
        max_hz: Upper edge of the highest filter.
        num_mels: Number of filters.
        sample_rate_hz: Sample rate in Hz.
        scale: "htk" or "slaney".
        slaney_norm: Whether to divide each filter by half its width in Hz, so that all have the same area.
    """
    bins_hz = torch.linspace(0, sample_rate_hz // 2, num_bins, dtype=torch.float64)
    mels = torch.linspace(_mel(min_hz, scale), _mel(max_hz, scale), num_mels + 2, dtype=torch.float64)
    edges_hz = _hz(mels, scale)
    widths_hz = edges_hz.diff()
    slopes = edges_hz[None] - bins_hz[:, None]
    rising, falling = -slopes[:, :-2] / widths_hz[:-1], slopes[:, 2:] / widths_hz[1:]
    filters = torch.minimum(rising, falling).clamp(min=0.0)
    if slaney_norm:
        filters = filters * (2.0 / (edges_hz[2:] - edges_hz[:-2]))
    return filters.float()


def _mel(hz: float, scale: str) -> float:
    if scale == "htk":
        return 2595.0 * math.log10(1.0 + hz / 700.0)
    if hz < BREAK_HZ:
        return hz / LINEAR_HZ_PER_MEL
    return BREAK_HZ / LINEAR_HZ_PER_MEL + math.log(hz / BREAK_HZ) / LOG_STEP


def _hz(mels: Tensor, scale: str) -> Tensor:
    if scale == "htk":
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    broken = BREAK_HZ / LINEAR_HZ_PER_MEL
    return torch.where(
        mels < broken, mels * LINEAR_HZ_PER_MEL, BREAK_HZ * torch.exp(LOG_STEP * (mels.clamp(min=broken) - broken))
    )
