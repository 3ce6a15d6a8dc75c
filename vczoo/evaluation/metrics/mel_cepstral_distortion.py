"""Mel-cepstral distortion (MCD) in dB between two recordings of one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vczoo.audio.waveform import Waveform
from vczoo.io.optional_imports import require
from vczoo.modules.interfaces.metric import Case, Column, Metric

__all__ = ["RATE_HZ", "MelCepstralDistortion", "distortion_db", "mel_cepstrum", "warping"]

RATE_HZ = 16000
ALPHA = 0.42  # all-pass constant that approximates the mel scale at 16 kHz, as in SPTK
COEFFICIENTS = 13  # 1 to 13: c0 is loudness
HOP_MS = 5.0
FFT_LENGTH = 1024  # the length that CheapTrick needs at 16 kHz for its default lowest F0
DB_PER_NEPER = 10 / np.log(10.0)
POWER_FLOOR = 1e-12  # digital silence has no logarithm


class MelCepstralDistortion(Metric):
    """MCD between a conversion and the target speaker saying the same text."""

    columns = (Column("mcd_db", "MCD dB", higher_is_better=False),)

    def measure(self, case: Case) -> Mapping[str, float]:
        """Measure a conversion that has a parallel recording."""
        return {"mcd_db": distortion_db(case.wave, case.parallel)} if case.parallel else {}


def distortion_db(first: Waveform, second: Waveform) -> float:
    """Compute mel-cepstral distortion in dB: 10 / ln 10 * sqrt(2 * sum over d = 1..13 of (c_d - c'_d)^2).

    Silence at both ends is trimmed, and frames are aligned by dynamic time warping under the same distance. The result
    is the mean over the path: 0 for a recording and itself. c0, the loudness, is excluded.

    Args:
        first, second: Waveforms (1, S) at 16 kHz of the same sentence.

    Raises:
        PluginError: librosa is not installed.

    Source:
        Kubichek 1993; DTW by librosa.
    """
    librosa = require("librosa", "mel-cepstral distortion", "eval")
    x, y = (mel_cepstrum(wave.trim())[:, 1:] for wave in (first, second))
    _, path = librosa.sequence.dtw(X=x.T, Y=y.T, metric="euclidean", backtrack=True)
    squares = ((x[path[:, 0]] - y[path[:, 1]]) ** 2).sum(axis=1)
    return float((DB_PER_NEPER * np.sqrt(2 * squares)).mean())


def mel_cepstrum(wave: Waveform) -> NDArray[np.float64]:
    """Compute the mel-cepstrum of WORLD's spectral envelope.

    Args:
        wave: Waveform (1, S); resampled to 16 kHz if it has another rate.

    Returns:
        (T, 14), coefficients 0 to 13 every 5 ms.

    Source:
        CheapTrick (Morise 2015) through pyworld; mel-cepstrum as SPTK's sp2mc (Tokuda et al. 1994), alpha 0.42.
    """
    import pyworld

    if wave.sample_rate_hz != RATE_HZ:
        wave = wave.resample(RATE_HZ)
    samples = wave.samples[0].detach().cpu().double().numpy()
    rough_hz, times = pyworld.dio(samples, RATE_HZ, frame_period=HOP_MS)
    f0_hz = pyworld.stonemask(samples, rough_hz, times, RATE_HZ)
    power = pyworld.cheaptrick(samples, f0_hz, times, RATE_HZ, fft_size=FFT_LENGTH)
    cepstrum: NDArray[np.float64] = np.log(np.maximum(power, POWER_FLOOR)) @ warping()
    return cepstrum


@lru_cache(maxsize=1)
def warping() -> NDArray[np.float64]:
    """Return the (FFT_LENGTH // 2 + 1, 14) matrix that maps a log power spectrum to its mel-cepstrum.

    The log magnitude is a sum of cosines, c_0 + sum of c_m cos(m w). Sampling it on an even grid that an all-pass
    filter with constant -alpha has warped, and transforming back, gives the coefficients on the warped axis.
    """
    bins = FFT_LENGTH // 2 + 1
    grid = np.linspace(0.0, np.pi, 4 * bins)  # finer than the spectrum, so that aliasing stays below 1e-6
    bent = grid + 2 * np.arctan(-ALPHA * np.sin(grid) / (1 + ALPHA * np.cos(grid)))
    # irfft of half the log power is the cepstrum of the magnitude, in which coefficients from 1 on occur twice.
    cosines = np.fft.irfft(np.eye(bins) / 2, axis=1)[:, :bins] * _twice(bins)
    at_bent = cosines @ np.cos(np.outer(np.arange(bins), bent))
    warped = np.fft.irfft(at_bent, axis=1)[:, : COEFFICIENTS + 1] * _twice(COEFFICIENTS + 1, last=2.0)
    return np.ascontiguousarray(warped)


def _twice(count: int, last: float = 1.0) -> NDArray[np.float64]:
    """Factors 1, 2, 2, …, `last`: a real cepstrum is even, and only its first and last coefficients occur once."""
    factors = np.full(count, 2.0)
    factors[0], factors[-1] = 1.0, last
    return factors
