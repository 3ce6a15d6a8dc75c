"""Augmentation of recordings: speed, noise and spectral coloring."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vczoo.audio.filters import add_noise, shelf
from vczoo.audio.waveform import Waveform

__all__ = ["PLAIN", "Version", "as_heard", "vary"]

SNR_DB = (5.0, 30.0)
SHELF_DB = 6.0  # at most, up or down
BASS_HZ, TREBLE_HZ = 200.0, 3000.0


@dataclass(frozen=True)
class Version:
    """An augmented version of a recording.

    Attributes:
        speed: The playback speed. The frames are resized to the times of the original recording afterwards.
        variant: 0 for the recording itself; any other number for a variant with noise and a different coloring.
    """

    speed: float = 1.0
    variant: int = 0


PLAIN = Version()


def as_heard(wave: Waveform, version: Version) -> Waveform:
    """Make a version of one recording: (1, S) -> (1, about S / speed)."""
    if version.variant:
        wave = vary(wave, version.variant)
    if version.speed == 1.0:
        return wave
    # Rates in thousandths, because two rates in Hz may have no common factor.
    faster = Waveform.of(wave.samples, round(1000 * version.speed)).resample(1000)
    return Waveform.of(faster.samples, wave.sample_rate_hz)


def vary(wave: Waveform, number: int) -> Waveform:
    """Color one recording with low and high shelves, add white noise, and restore its peak: (1, S) -> (1, S).

    The shelves are up to 6 dB, and the signal-to-noise ratio is 5 to 30 dB. All of it is random, seeded by `number` and
    the duration.
    """
    generator = torch.Generator().manual_seed(number * 0x9E3779B1 + wave.samples.shape[1])
    bass, treble, share = torch.rand(3, generator=generator).tolist()
    noise = torch.randn(wave.samples.shape, generator=generator).to(wave.samples.device)
    rate, treble_hz = wave.sample_rate_hz, min(TREBLE_HZ, 0.4 * wave.sample_rate_hz)
    colored = shelf(wave.samples, rate, (2 * bass - 1) * SHELF_DB, BASS_HZ, high=False)
    colored = shelf(colored, rate, (2 * treble - 1) * SHELF_DB, treble_hz, high=True)
    snr_db = SNR_DB[0] + share * (SNR_DB[1] - SNR_DB[0])
    noisy = add_noise(colored, noise, snr_db)
    peak = wave.samples.abs().max() / noisy.abs().max().clamp(min=1e-9)
    return Waveform.of(noisy * peak, rate)
