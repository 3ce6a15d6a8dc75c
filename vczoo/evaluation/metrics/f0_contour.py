"""F0 contours, and how well a conversion keeps the intonation of its source."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vczoo.audio.waveform import Waveform
from vczoo.modules.interfaces.metric import Case, Column, Metric

__all__ = ["FEWEST_FRAMES", "HOP_SECONDS", "ContourErrors", "F0Contour", "compare_contours", "f0_contour"]

HOP_SECONDS = 0.01
LOWEST_HZ, HIGHEST_HZ = 60.0, 600.0  # from a low male voice to a child's
FEWEST_FRAMES = 20  # 0.2 s voiced in both; a correlation over fewer frames is meaningless
SEMITONES_PER_LOG = 12 / np.log(2.0)


@dataclass(frozen=True)
class ContourErrors:
    """Differences between two F0 contours, over the frames that are voiced in both.

    Attributes:
        correlation: Pearson correlation of log-F0; 1 for a contour that was only shifted or scaled.
        rmse_semitones: Root mean square difference of log-F0, in semitones. Each contour's mean is subtracted
            first, because a conversion is supposed to move the pitch to the target's.
        shift_semitones: Mean log-F0 of the second contour minus that of the first, in semitones.
    """

    correlation: float
    rmse_semitones: float
    shift_semitones: float


class F0Contour(Metric):
    """Correlation and RMSE of log-F0 between a conversion and its source."""

    columns = (
        Column("f0_correlation", "F0 corr", higher_is_better=True),
        Column("f0_rmse_semitones", "F0 RMSE st", higher_is_better=False),
    )

    def __init__(self) -> None:
        self._contours: dict[bytes, NDArray[np.float64]] = {}

    def measure(self, case: Case) -> Mapping[str, float]:
        """Measure a conversion; the result also has the mean shift of F0, `f0_shift_semitones`."""
        if case.source is None:
            return {}
        errors = compare_contours(self._contour(case.source), self._contour(case.wave))
        return {f"f0_{name}": value for name, value in vars(errors).items()} if errors else {}

    def _contour(self, wave: Waveform) -> NDArray[np.float64]:
        """The contour of a waveform, which is tracked once: a source occurs once per target."""
        samples = wave.samples.detach().cpu().contiguous().numpy()
        key = hashlib.sha256(samples.data).digest() + str(wave.sample_rate_hz).encode()
        if key not in self._contours:
            self._contours[key] = f0_contour(wave)
        return self._contours[key]


def f0_contour(wave: Waveform) -> NDArray[np.float64]:
    """Track F0 of a (1, S) waveform: (T,) in Hz every 10 ms, 0 if unvoiced.

    This is not the tracker that models use: the metric must not change when theirs does.

    Source:
        WORLD's DIO and StoneMask (Morise et al. 2016).
    """
    import pyworld

    samples, rate = wave.samples[0].detach().cpu().double().numpy(), wave.sample_rate_hz
    rough_hz, times = pyworld.dio(
        samples, rate, f0_floor=LOWEST_HZ, f0_ceil=HIGHEST_HZ, frame_period=1000 * HOP_SECONDS
    )
    f0_hz: NDArray[np.float64] = pyworld.stonemask(samples, rough_hz, times, rate)
    return f0_hz


def compare_contours(first_hz: NDArray[np.float64], second_hz: NDArray[np.float64]) -> ContourErrors | None:
    """Compare two contours frame by frame. A conversion keeps the source's length, so no alignment is needed.

    Returns:
        The differences, or None if fewer than 20 frames are voiced in both (whispered speech) or a contour is flat.
    """
    count = min(first_hz.size, second_hz.size)
    both = (first_hz[:count] > 0) & (second_hz[:count] > 0)
    if both.sum() < FEWEST_FRAMES:
        return None
    first, second = np.log(first_hz[:count][both]), np.log(second_hz[:count][both])
    shift = float(second.mean() - first.mean())
    first, second = first - first.mean(), second - second.mean()
    power = float(np.sqrt((first**2).sum() * (second**2).sum()))
    if power < 1e-9:
        return None
    rmse = float(np.sqrt(((first - second) ** 2).mean()))
    return ContourErrors(float((first * second).sum() / power), rmse * SEMITONES_PER_LOG, shift * SEMITONES_PER_LOG)
