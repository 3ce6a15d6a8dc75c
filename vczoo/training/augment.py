"""A recording and how it is heard in; what is heard out: plain, faster, or with noise and another colour."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torchaudio.functional import add_noise, bass_biquad, treble_biquad

from vczoo.audio.waveform import Waveform

__all__ = ["PLAIN", "Version", "as_heard", "vary"]

SNR_DB = (5.0, 30.0)
SHELF_DB = 6.0  # at most, up or down
BASS_HZ, TREBLE_HZ = 200.0, 3000.0


@dataclass(frozen=True)
class Version:
    """How a recording is heard.

    Attributes:
        speed: that it is played at; its frames are brought back to the times of the plain recording.
        variant: 0 is the recording itself, any other number a variant of it with noise and another colour.
    """

    speed: float = 1.0
    variant: int = 0


PLAIN = Version()


def as_heard(wave: Waveform, version: Version) -> Waveform:
    """One recording as a version of it is heard: (1, S) -> (1, about S / speed)."""
    if version.variant:
        wave = vary(wave, version.variant)
    if version.speed == 1.0:
        return wave
    # In thousandths: two rates in Hz may have no factor in common.
    faster = Waveform.of(wave.samples, round(1000 * version.speed)).resample(1000)
    return Waveform.of(faster.samples, wave.sample_rate_hz)


def vary(wave: Waveform, number: int) -> Waveform:
    """Colour one recording by a low and a high shelf and add white noise, then bring its peak back: (1, S) -> (1, S).

    Shelves of up to 6 dB, noise at a signal-to-noise ratio of 5 to 30 dB, all of it drawn from the number and the
    duration. Source: shelving filters and `add_noise` of torchaudio.
    """
    generator = torch.Generator().manual_seed(number * 0x9E3779B1 + wave.samples.shape[1])
    bass, treble, share = torch.rand(3, generator=generator).tolist()
    noise = torch.randn(wave.samples.shape, generator=generator).to(wave.samples.device)
    rate, treble_hz = wave.sample_rate_hz, min(TREBLE_HZ, 0.4 * wave.sample_rate_hz)
    coloured = bass_biquad(wave.samples, rate, (2 * bass - 1) * SHELF_DB, BASS_HZ)
    coloured = treble_biquad(coloured, rate, (2 * treble - 1) * SHELF_DB, treble_hz)
    snr_db = SNR_DB[0] + share * (SNR_DB[1] - SNR_DB[0])
    noisy = add_noise(coloured, noise, wave.samples.new_tensor([snr_db]))
    peak = wave.samples.abs().max() / noisy.abs().max().clamp(min=1e-9)
    return Waveform.of(noisy * peak, rate)
