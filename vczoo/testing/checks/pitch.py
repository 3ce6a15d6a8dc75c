"""Conformance checks of pitch trackers. Each check takes a `Specimen` and raises `ContractError` if it fails."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vczoo.testing.checks.expectations import expect
from vczoo.testing.checks.specimen import Specimen

__all__ = ["PITCH_CHECKS", "buzz"]

LOWEST_HZ, HIGHEST_HZ = 40.0, 1100.0
LATE_SECONDS = 0.1  # of frames that may be missing or too many at the end
TONES_HZ = (110.0, 220.0, 330.0)
OFF = 0.03  # relative error of F0; a semitone is 0.06
TONE_FRAMES = 30  # of the 50 frames of a tone, without its ends
LEAST_RIGHT = 0.75
RECORDINGS = ((16000, 1.0, 0.01), (24000, 0.5, 256 / 24000), (48000, 0.3, 0.02))  # rate, seconds and hop
SHORT = (1, 2, 100)  # samples


def frames(specimen: Specimen) -> None:
    """One figure per frame, float64, for the whole recording, whatever its rate and length."""
    for rate_hz, seconds, hop_seconds in RECORDINGS:
        samples = buzz(220.0, seconds, rate_hz)
        before = samples.copy()
        f0_hz = _track(specimen, samples, rate_hz, hop_seconds)
        where = f"{seconds:g} s at {rate_hz} Hz, a frame every {1000 * hop_seconds:.2f} ms"
        expected = int(seconds / hop_seconds) + 1
        slack = math.ceil(LATE_SECONDS / hop_seconds)
        expect(
            abs(f0_hz.size - expected) <= slack,
            f"`track` must return about {expected} frames for {where}, got {f0_hz.size}",
        )
        expect(np.array_equal(samples, before), "`track` must not change its input")
        again = _track(specimen, samples, rate_hz, hop_seconds)
        expect(np.array_equal(f0_hz, again), "`track` must return the same for the same recording")
    for count in SHORT:
        _track(specimen, np.full(count, 0.1), 16000, 0.01)


def bounds(specimen: Specimen) -> None:
    """F0 is finite, 0 where unvoiced, and 40 to 1,100 Hz elsewhere."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    for samples, what in (
        (noise, "noise"),
        (buzz(220.0, 1.0, 16000), "a tone"),
        (buzz(2000.0, 1.0, 16000), "a whistle"),
    ):
        f0_hz = _track(specimen, samples, 16000, 0.01)
        outside = f0_hz[(f0_hz != 0) & ((f0_hz < LOWEST_HZ) | (f0_hz > HIGHEST_HZ))]
        expect(
            not outside.size,
            f"F0 must be 0 (unvoiced) or {LOWEST_HZ:g} to {HIGHEST_HZ:g} Hz, got {outside[:1]} in {what}",
        )


def silence(specimen: Specimen) -> None:
    """Silence is unvoiced."""
    f0_hz = _track(specimen, np.zeros(16000), 16000, 0.01)
    expect(not f0_hz.any(), f"silence must be unvoiced, got {int((f0_hz > 0).sum())} voiced frames")


def tones(specimen: Specimen) -> None:
    """The F0 of a known tone is found, in the frames in which it sounds."""
    for tone_hz in TONES_HZ:
        samples = np.concatenate([buzz(tone_hz, 0.5, 16000), buzz(1.5 * tone_hz, 0.5, 16000)])
        f0_hz = _track(specimen, samples, 16000, 0.01)
        for first, expected_hz in ((10, tone_hz), (60, 1.5 * tone_hz)):
            part = f0_hz[first : first + TONE_FRAMES]
            right = np.abs(part / expected_hz - 1) <= OFF
            expect(
                right.sum() >= LEAST_RIGHT * TONE_FRAMES,
                f"a tone of {expected_hz:g} Hz, from {first / 100:g} s on, must be tracked within {OFF:.0%} in "
                f"{LEAST_RIGHT:.0%} of the frames, got {int(right.sum())} of {TONE_FRAMES}, and a median of "
                f"{np.median(part) if part.size else 0:.1f} Hz",
            )


def buzz(f0_hz: float, seconds: float, rate_hz: int) -> NDArray[np.float64]:
    """Make a tone with harmonics up to 4 kHz whose amplitudes fall by 6 dB per octave: (S,)."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    harmonics = range(1, max(2, int(4000 / f0_hz) + 1))
    samples: NDArray[np.float64] = sum(
        (0.1 / number * np.sin(2 * np.pi * number * f0_hz * times) for number in harmonics), np.zeros(times.size)
    )
    return samples


def _track(specimen: Specimen, samples: NDArray[np.float64], rate_hz: int, hop_seconds: float) -> NDArray[np.float64]:
    f0_hz = specimen.part.track(samples, rate_hz, hop_seconds)
    where = f"`track` of {samples.size} samples at {rate_hz} Hz"
    expect(isinstance(f0_hz, np.ndarray), f"{where} must return a NumPy array, got {type(f0_hz).__name__}")
    expect(
        f0_hz.ndim == 1 and f0_hz.dtype == np.float64,
        f"{where} must return float64 of shape (T,), got {f0_hz.dtype} of shape {f0_hz.shape}",
    )
    expect(bool(np.isfinite(f0_hz).all()), f"{where} must be finite")
    checked: NDArray[np.float64] = f0_hz
    return checked


PITCH_CHECKS = (frames, bounds, silence, tones)
