"""Random perturbation of log-mels in training, as if another speaker said the same in another room.

Pitch and formants are shifted independently: the part of a log-mel that is smooth in frequency is the envelope of the
vocal tract, and the rest is harmonics.

Source: information perturbation in NANSY, arXiv:2110.14513. The warping is vocal tract length perturbation, Jaitly and
Hinton 2013.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vczoo.audio.mel import mel_filters
from vczoo.audio.specs import MelSpec

__all__ = ["Perturbation"]

ENVELOPE_TERMS = 14  # terms of a cosine series over the bands; with more, it would follow single harmonics
COLOR_TERMS = 5  # terms of the same series for a random spectral coloring
FORMANTS, PITCH = math.log(1.3), math.log(1.8)  # largest shift of log-frequency, up or down, at strength 1
COLOR_NATS, LEVEL_NATS = 0.5, 0.7  # standard deviations at strength 1
NOISE_NATS = (2.0, 7.0)  # range of the noise level below the loudest band, 17 to 61 dB
FLICKER_NATS = (0.2, 0.7)  # range of the deviation of the noise in each frame and band, as of recorded noise
SWELL_NATS = 0.5  # deviation of its level over time
NOISY = 0.5  # share of items with noise, at strength 1
NARROW = 0.2  # share of items reduced to the band of a telephone, at strength 1
ROOMS = 0.25  # share of items in a room, at strength 1
DECAY_SECONDS = (0.2, 0.9)  # range of the time in which reverberation falls by 60 dB
REVERB_NATS = (-1.4, 0.2)  # range of the level of reverberation to that of the direct sound, -12 to 2 dB
TAIL_SECONDS = 0.5
LOWEST_HZ, HIGHEST_HZ = (0.0, 300.0), (3400.0, 4000.0)  # ranges of the limits of that band


class Perturbation(nn.Module):
    """Random perturbation of log-mels in training. In eval mode and at strength 0 it is the identity.

    Args:
        spec: Format of the mels.
        nats: Scale of the input: the number of nats of log-mel per unit. Silence is at -1.
        strength: Strength of the perturbation, 0 to 1. It scales the shifts of formants and pitch, the variation of
            spectral color and level, and the shares of items that get noise or lose bands.
    """

    envelope: Tensor
    colors: Tensor
    centers: Tensor

    def __init__(self, spec: MelSpec, *, nats: float, strength: float) -> None:
        super().__init__()
        self.nats, self.strength, self.frame_rate_hz = nats, strength, spec.frame_rate_hz
        cosines = _cosines(spec.num_mels)
        bins = torch.linspace(0, spec.sample_rate_hz / 2, spec.fft_length // 2 + 1)
        filters = mel_filters(spec)
        centers = (filters * bins[:, None]).sum(dim=0) / filters.sum(dim=0).clamp(min=1e-9)
        self.register_buffer("envelope", cosines[:ENVELOPE_TERMS].T @ cosines[:ENVELOPE_TERMS], persistent=False)
        self.register_buffer("colors", cosines[:COLOR_TERMS] * spec.num_mels**0.5, persistent=False)
        self.register_buffer("centers", centers.cummax(dim=0).values, persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        """Perturb scaled log-mels: (B, num_mels, T) -> (B, num_mels, T)."""
        if not self.training or not self.strength:
            return mel
        count, device = len(mel), mel.device

        def uniform(shape: tuple[int, ...]) -> Tensor:
            return torch.rand(shape, device=device)

        formants, pitch = ((2 * uniform((count,)) - 1) * self.strength * most for most in (FORMANTS, PITCH))
        rest = torch.eye(len(self.centers), device=device) - self.envelope
        warped = (self._warp(formants) @ self.envelope + self._warp(pitch) @ rest) @ mel
        color = torch.randn(count, COLOR_TERMS, device=device) @ self.colors * (COLOR_NATS / COLOR_TERMS**0.5)
        level = torch.randn(count, 1, device=device) * LEVEL_NATS
        speech = (warped + 1) * self.nats + ((color + level) * self.strength)[..., None]
        reverberant = self._reverberant(speech)
        speech = torch.where(uniform((count, 1, 1)) < ROOMS * self.strength, reverberant, speech)
        low, high = (least + (most - least) * uniform((count, 1)) for least, most in (LOWEST_HZ, HIGHEST_HZ))
        narrow = uniform((count, 1)) < NARROW * self.strength
        speech = speech * (~narrow | ((self.centers >= low) & (self.centers <= high)))[..., None]
        peak = speech.amax(dim=(1, 2), keepdim=True)
        below = NOISE_NATS[0] + uniform((count, 1, 1)) * (NOISE_NATS[1] - NOISE_NATS[0])
        tilt = (torch.randn(count, COLOR_TERMS, device=device) @ self.colors * (1 / COLOR_TERMS**0.5))[..., None]
        flicker = FLICKER_NATS[0] + uniform((count, 1, 1)) * (FLICKER_NATS[1] - FLICKER_NATS[0])
        swell = torch.randn(count, 1, 2 + speech.shape[2] // 32, device=device) * SWELL_NATS
        swell = nn.functional.interpolate(swell, size=speech.shape[2], mode="linear")
        noise = peak - below + tilt + swell + flicker * torch.randn_like(speech)
        noisy = torch.logaddexp(2 * speech, 2 * noise) / 2  # powers add
        perturbed = torch.where(uniform((count, 1, 1)) < NOISY * self.strength, noisy, speech)
        out: Tensor = perturbed.clamp(min=0) / self.nats - 1
        return out

    def _reverberant(self, speech: Tensor) -> Tensor:
        """Add diffuse reverberation, whose power decays exponentially: (B, num_mels, T) in nats -> the same.

        Silence, at 0 nats, has none.
        """
        count = len(speech)
        decay, ratio = (
            low + torch.rand(count, 1, device=speech.device) * (high - low)
            for low, high in (DECAY_SECONDS, REVERB_NATS)
        )
        taps = torch.arange(round(TAIL_SECONDS * self.frame_rate_hz), device=speech.device)
        powers = 10 ** (-6 * taps / (decay * self.frame_rate_hz))
        powers[:, 0] = 0
        powers = powers / powers.sum(dim=1, keepdim=True) * (2 * ratio).exp()
        powers[:, 0] = 1
        peak = speech.amax(dim=(1, 2), keepdim=True)  # without it, the powers of loud items would overflow
        silence = (-2 * peak).exp()
        dry = ((2 * (speech - peak)).exp() - silence).clamp(min=0)
        padded = nn.functional.pad(dry, (len(taps) - 1, 0)).transpose(0, 1)  # (bands, B, T')
        wet = nn.functional.conv1d(padded, powers.flip(1)[:, None], groups=count).transpose(0, 1)
        out: Tensor = (wet + silence).log() / 2 + peak
        return out

    def _warp(self, shift: Tensor) -> Tensor:
        """Return matrices that move energy from each frequency to exp(shift) times that frequency.

        Args:
            shift: Shift of log-frequency for each item, (B,).

        Returns:
            Matrices to multiply log-mels by from the left, (B, num_mels, num_mels).
        """
        centers = self.centers
        source_hz = (centers * torch.exp(-shift)[:, None]).clamp(min=centers[0], max=centers[-1])
        above = torch.searchsorted(centers, source_hz).clamp(1, len(centers) - 1)
        low, high = centers[above - 1], centers[above]
        place = above - 1 + ((source_hz - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
        bands = torch.arange(len(centers), device=centers.device)
        weights: Tensor = (1 - (place[..., None] - bands).abs()).clamp(min=0)
        return weights


def _cosines(count: int) -> Tensor:
    """Return the matrix of the orthonormal DCT-II, (count, count), with one cosine per row."""
    places = (torch.arange(count) + 0.5) * math.pi / count
    rows: Tensor = torch.cos(torch.arange(count)[:, None] * places) * (2 / count) ** 0.5
    rows[0] /= 2**0.5
    return rows
