"""`Perturbation`: log-mels in; in training, log-mels as another speaker in another room might say the same, out.

Pitch and formants move apart: smooth in frequency is the vocal tract's envelope, what is left are harmonics.
Source: information perturbation, NANSY, arXiv:2110.14513; warping as vocal tract length perturbation, Jaitly and
Hinton 2013.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vczoo.audio.mel import mel_filters
from vczoo.audio.specs import MelSpec

__all__ = ["Perturbation"]

ENVELOPE_TERMS = 14  # of a cosine series over the bands: more would follow single harmonics
COLOUR_TERMS = 5
FORMANTS, PITCH = math.log(1.3), math.log(1.8)  # at most, up or down, at strength 1
COLOUR_NATS, LEVEL_NATS = 0.5, 0.7  # deviations at strength 1
NOISE_NATS = (2.5, 7.0)  # below the loudest band, 22 to 61 dB
NOISY = 0.5  # share of the items that get noise
NARROW = 0.2  # share of the items that lose what a telephone does not carry
LOWEST_HZ, HIGHEST_HZ = (0.0, 300.0), (3400.0, 4000.0)  # of what it carries, drawn within


class Perturbation(nn.Module):
    """(B, num_mels, T) -> the same shape; the identity outside of training and at strength 0.

    Args:
        spec: of the mels.
        nats: to one unit of what comes in; silence is at -1.
        strength: how far formants, pitch, colour and level are moved at most, 0 to 1.
    """

    envelope: Tensor
    colours: Tensor
    centres: Tensor

    def __init__(self, spec: MelSpec, *, nats: float, strength: float) -> None:
        super().__init__()
        self.nats, self.strength = nats, strength
        cosines = _cosines(spec.num_mels)
        bins = torch.linspace(0, spec.sample_rate_hz / 2, spec.fft_length // 2 + 1)
        filters = mel_filters(spec)
        centres = (filters * bins[:, None]).sum(dim=0) / filters.sum(dim=0).clamp(min=1e-9)
        self.register_buffer("envelope", cosines[:ENVELOPE_TERMS].T @ cosines[:ENVELOPE_TERMS], persistent=False)
        self.register_buffer("colours", cosines[:COLOUR_TERMS] * spec.num_mels**0.5, persistent=False)
        self.register_buffer("centres", centres.cummax(dim=0).values, persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, num_mels, T)."""
        if not self.training or not self.strength:
            return mel
        count, device = len(mel), mel.device

        def drawn(shape: tuple[int, ...]) -> Tensor:
            return torch.rand(shape, device=device)

        formants, pitch = ((2 * drawn((count,)) - 1) * self.strength * most for most in (FORMANTS, PITCH))
        rest = torch.eye(len(self.centres), device=device) - self.envelope
        moved = (self._warp(formants) @ self.envelope + self._warp(pitch) @ rest) @ mel
        colour = torch.randn(count, COLOUR_TERMS, device=device) @ self.colours * (COLOUR_NATS / COLOUR_TERMS**0.5)
        level = torch.randn(count, 1, device=device) * LEVEL_NATS
        speech = (moved + 1) * self.nats + ((colour + level) * self.strength)[..., None]
        low, high = (least + (most - least) * drawn((count, 1)) for least, most in (LOWEST_HZ, HIGHEST_HZ))
        narrow = drawn((count, 1)) < NARROW * self.strength
        speech = speech * (~narrow | ((self.centres >= low) & (self.centres <= high)))[..., None]
        peak = speech.amax(dim=(1, 2), keepdim=True)
        below = NOISE_NATS[0] + drawn((count, 1, 1)) * (NOISE_NATS[1] - NOISE_NATS[0])
        tilt = (torch.randn(count, COLOUR_TERMS, device=device) @ self.colours * (1 / COLOUR_TERMS**0.5))[..., None]
        noise = peak - below + tilt + 0.3 * torch.randn_like(speech)
        noisy = torch.logaddexp(speech, noise)
        heard = torch.where(drawn((count, 1, 1)) < NOISY * self.strength, noisy, speech)
        out: Tensor = heard.clamp(min=0) / self.nats - 1
        return out

    def _warp(self, shift: Tensor) -> Tensor:
        """Matrices that move what is at a frequency to exp(shift) times it: (B,) -> (B, num_mels, num_mels)."""
        centres = self.centres
        wanted = (centres * torch.exp(-shift)[:, None]).clamp(min=centres[0], max=centres[-1])
        above = torch.searchsorted(centres, wanted).clamp(1, len(centres) - 1)
        low, high = centres[above - 1], centres[above]
        place = above - 1 + ((wanted - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
        bands = torch.arange(len(centres), device=centres.device)
        shares: Tensor = (1 - (place[..., None] - bands).abs()).clamp(min=0)
        return shares


def _cosines(count: int) -> Tensor:
    """The orthonormal DCT-II: (count, count), a cosine a row."""
    places = (torch.arange(count) + 0.5) * math.pi / count
    rows: Tensor = torch.cos(torch.arange(count)[:, None] * places) * (2 / count) ** 0.5
    rows[0] /= 2**0.5
    return rows
