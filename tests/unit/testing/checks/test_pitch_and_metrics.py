"""The checks of pitch trackers and metrics find each broken promise, and pass what keeps them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vczoo.audio.pitch import Dio, PitchTracker
from vczoo.errors import ContractError
from vczoo.modules.interfaces.metric import Case, Column, Metric
from vczoo.testing import check_metric, check_pitch_tracker

Contour = NDArray[np.float64]


class Noisy(Dio):
    """Calls silence voiced."""

    def track(self, samples: Contour, sample_rate_hz: int, hop_seconds: float) -> Contour:
        f0_hz = super().track(samples, sample_rate_hz, hop_seconds)
        return np.where(f0_hz > 0, f0_hz, 100.0)


class Infinite(Dio):
    def track(self, samples: Contour, sample_rate_hz: int, hop_seconds: float) -> Contour:
        return super().track(samples, sample_rate_hz, hop_seconds) + math.inf


class Unvoiced(Dio):
    """Marks unvoiced frames by -1 instead of 0."""

    def track(self, samples: Contour, sample_rate_hz: int, hop_seconds: float) -> Contour:
        f0_hz = super().track(samples, sample_rate_hz, hop_seconds)
        return np.where(f0_hz > 0, f0_hz, -1.0)


class Slow(Dio):
    """Returns every second frame."""

    def track(self, samples: Contour, sample_rate_hz: int, hop_seconds: float) -> Contour:
        return super().track(samples, sample_rate_hz, hop_seconds)[::2]


class Late(Dio):
    """Is 0.2 s late."""

    def track(self, samples: Contour, sample_rate_hz: int, hop_seconds: float) -> Contour:
        f0_hz = super().track(samples, sample_rate_hz, hop_seconds)
        return np.pad(f0_hz, (round(0.2 / hop_seconds), 0))[: f0_hz.size]


class Octave(Dio):
    """Is an octave low."""

    def track(self, samples: Contour, sample_rate_hz: int, hop_seconds: float) -> Contour:
        f0_hz = super().track(samples, sample_rate_hz, hop_seconds)
        return np.where(f0_hz > 100.0, f0_hz / 2, f0_hz)


class Column2(Dio):
    def track(self, samples: Contour, sample_rate_hz: int, hop_seconds: float) -> Contour:
        return super().track(samples, sample_rate_hz, hop_seconds)[:, None]


class Single(Dio):
    def track(self, samples: Contour, sample_rate_hz: int, hop_seconds: float) -> Any:
        return super().track(samples, sample_rate_hz, hop_seconds).astype(np.float32)


class Writing(Dio):
    """Writes into its input."""

    def track(self, samples: Contour, sample_rate_hz: int, hop_seconds: float) -> Contour:
        f0_hz = super().track(samples, sample_rate_hz, hop_seconds)
        samples *= 0.5
        return f0_hz


def test_the_built_in_tracker_keeps_its_promises() -> None:
    check_pitch_tracker(Dio())


@pytest.mark.parametrize(
    ("tracker", "message"),
    [
        (Noisy(), "silence must be unvoiced"),
        (Infinite(), "must be finite"),
        (Unvoiced(), r"F0 must be 0 \(unvoiced\) or 40 to 1100 Hz, got \[-1\.\]"),
        (Slow(), "must return about 101 frames"),
        (Late(), "a tone of 110 Hz, from 0.1 s on, must be tracked within 3% in 75% of the frames, got 19 of 30"),
        (Octave(), "a tone of 110 Hz"),
        (Column2(), r"must return float64 of shape \(T,\)"),
        (Single(), "must return float64"),
        (Writing(), "must not change its input"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PitchTracker) else "",
)
def test_a_tracker_that_breaks_a_promise(tracker: PitchTracker, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check_pitch_tracker(tracker)


class Loudness(Metric):
    """A metric that keeps its promises."""

    columns: Any = (Column("peak", "peak", higher_is_better=True), Column("gain", "gain", higher_is_better=False))

    def measure(self, case: Case) -> Mapping[str, float]:
        peak = float(case.wave.samples.abs().max())
        if case.source is None or not case.source.samples.any():
            return {"peak": peak}
        return {"peak": peak, "gain": peak / float(case.source.samples.abs().max())}


class Dividing(Loudness):
    def measure(self, case: Case) -> Mapping[str, float]:
        power = float(case.wave.samples.square().sum())
        return {"peak": 1.0, "gain": float(case.wave.samples.abs().sum()) / power if power else math.nan}


class NeedsSource(Loudness):
    def measure(self, case: Case) -> Mapping[str, float]:
        assert case.source is not None, "no source"
        return super().measure(case)


class Forgetful(Loudness):
    def measure(self, case: Case) -> Mapping[str, float]:
        return {"peak": 1.0}


class SameNames(Loudness):
    columns = (Column("peak", "one", higher_is_better=True), Column("peak", "two", higher_is_better=True))


class OddName(Loudness):
    columns = (Column("Peak dB", "one", higher_is_better=True),)


class NoDirection(Loudness):
    columns = (Column("peak", "one", higher_is_better=None),)  # type: ignore[arg-type]


class NoColumns(Loudness):
    columns = ()


def test_a_metric_that_keeps_its_promises() -> None:
    check_metric(Loudness())


@pytest.mark.parametrize(
    ("metric", "error", "message"),
    [
        (Dividing(), ContractError, "finite numbers, or left out; gain of silence is nan"),
        (NeedsSource(), AssertionError, "no source"),
        (Forgetful(), ContractError, "missing: gain"),
        (SameNames(), ContractError, "names of figures must differ, got peak, peak"),
        (OddName(), ContractError, "a figure's name must be lowercase letters"),
        (NoDirection(), ContractError, "`higher_is_better` of 'peak' must be True or False"),
        (NoColumns(), ContractError, "a tuple of at least one vczoo.Column"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Metric) else "",
)
def test_a_metric_that_breaks_a_promise(metric: Metric, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_metric(metric)
