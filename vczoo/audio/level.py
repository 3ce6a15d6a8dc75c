"""The level of a recording over time, and its transfer to another recording of the same words."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["follow_level"]

BLOCK_SECONDS = 0.01
SHORT_SECONDS = 0.05  # a few periods of any voice
WINDOW_SECONDS = 0.3  # longer than a syllable; half of it, and of the short one, is the look-ahead
FLOOR = 1e-7  # power, -70 dB of full scale: what is softer is silence
MOST_DB = 40.0  # change of the level, up or down
LOUDEST = 0.98  # of a sample that was made louder


def follow_level(samples: Tensor, source: Tensor, sample_rate_hz: int) -> Tensor:
    """Give a recording the level that another one has at the same time: (S,), (S,) -> (S,).

    The change is averaged, in decibels, over 0.3 s, so what is louder or softer within a syllable stays. It is at most
    40 dB, and no sample that was within full scale is made to leave it.

    Args:
        samples: The recording to change.
        source: The recording whose level it gets, with as many samples.
        sample_rate_hz: The sample rate of both.
    """
    block = max(1, round(BLOCK_SECONDS * sample_rate_hz))
    levels, target = (_powers(each, block).clamp(min=FLOOR).log10() * 10 for each in (samples, source))
    gains_db = _smoothed(target - levels, WINDOW_SECONDS).clamp(-MOST_DB, MOST_DB)
    gains = torch.pow(10.0, gains_db / 20)
    peaks = _blocks(samples.abs(), block).amax(dim=1)
    near = F.max_pool1d(peaks[None, None], kernel_size=3, stride=1, padding=1)[0, 0]
    gains = torch.minimum(gains, (LOUDEST / near.clamp(min=FLOOR)).clamp(min=1.0))
    # From the center of a block to that of the next.
    places = (torch.arange(len(samples), dtype=torch.float64, device=samples.device) + 0.5) / block - 0.5
    below = places.floor().clamp(0, len(gains) - 1).long()
    above = (below + 1).clamp(max=len(gains) - 1)
    return samples * torch.lerp(gains[below], gains[above], (places - below).clamp(0, 1).to(gains.dtype))


def _blocks(samples: Tensor, block: int) -> Tensor:
    """Samples in rows of one block each, (S,) -> (N, block); the last one ends with zeros."""
    return F.pad(samples, (0, -len(samples) % block)).view(-1, block)


def _powers(samples: Tensor, block: int) -> Tensor:
    """Mean power around each block, (S,) -> (N,)."""
    return _smoothed(_blocks(samples.float().square(), block).mean(dim=1), SHORT_SECONDS).clamp(min=0)


def _smoothed(values: Tensor, seconds: float) -> Tensor:
    """Mean of the values around each block, (N,) -> (N,), weighted by a Hann window that the ends cut off."""
    half = round(seconds / BLOCK_SECONDS / 2)
    window = torch.hann_window(2 * half + 3, periodic=False, dtype=values.dtype, device=values.device)[None, None, 1:-1]
    sums, weights = (
        F.conv1d(each[None, None], window, padding=half)[0, 0] for each in (values, torch.ones_like(values))
    )
    return sums / weights
