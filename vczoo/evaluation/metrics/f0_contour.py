"""A source and its conversion in, how well the conversion keeps the source's intonation out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vczoo.audio.waveform import Waveform

__all__ = ["FEWEST_FRAMES", "HOP_SECONDS", "ContourErrors", "compare_contours", "f0_contour"]

HOP_SECONDS = 0.01
LOWEST_HZ, HIGHEST_HZ = 60.0, 600.0  # from a low male voice to a child's
FEWEST_FRAMES = 20  # 0.2 s voiced in both; a correlation over less says nothing
SEMITONES_PER_LOG = 12 / np.log(2.0)


@dataclass(frozen=True)
class ContourErrors:
    """How two F0 contours differ, over frames that are voiced in both.

    Attributes:
        correlation: Pearson's, of log-F0; 1 for a contour that was only moved or stretched.
        rmse_semitones: root of the mean square difference of log-F0, each contour's mean taken off first:
            moving the pitch to the target's is what a conversion shall do.
        shift_semitones: mean of the second contour over that of the first.
    """

    correlation: float
    rmse_semitones: float
    shift_semitones: float


def f0_contour(wave: Waveform) -> NDArray[np.float64]:
    """(1, S) -> (T,) F0 in Hz every 10 ms, 0 where unvoiced (WORLD's DIO and StoneMask, Morise et al. 2016).

    Not the tracker that a model was given: a measure must not move when the model's does.
    """
    import pyworld

    samples, rate = wave.samples[0].detach().cpu().double().numpy(), wave.sample_rate_hz
    rough_hz, times = pyworld.dio(
        samples, rate, f0_floor=LOWEST_HZ, f0_ceil=HIGHEST_HZ, frame_period=1000 * HOP_SECONDS
    )
    f0_hz: NDArray[np.float64] = pyworld.stonemask(samples, rough_hz, times, rate)
    return f0_hz


def compare_contours(first_hz: NDArray[np.float64], second_hz: NDArray[np.float64]) -> ContourErrors | None:
    """Compare two contours frame by frame; a conversion keeps the source's length, so frames need no alignment.

    Returns:
        None where fewer than 20 frames are voiced in both (a whisper), or a contour is flat.
    """
    count = min(first_hz.size, second_hz.size)
    both = (first_hz[:count] > 0) & (second_hz[:count] > 0)
    if both.sum() < FEWEST_FRAMES:
        return None
    first, second = np.log(first_hz[:count][both]), np.log(second_hz[:count][both])
    moved = float(second.mean() - first.mean())
    first, second = first - first.mean(), second - second.mean()
    power = float(np.sqrt((first**2).sum() * (second**2).sum()))
    if power < 1e-9:
        return None
    rmse = float(np.sqrt(((first - second) ** 2).mean()))
    return ContourErrors(float((first * second).sum() / power), rmse * SEMITONES_PER_LOG, moved * SEMITONES_PER_LOG)
