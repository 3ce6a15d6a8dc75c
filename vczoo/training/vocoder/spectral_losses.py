"""Spectral losses between two waveforms: multi-resolution STFT distance and mel distance.

Both are differentiable, computed in float32, and 0 for equal waveforms. A training segment may be silent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vczoo.audio.mel import LogMel
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError

__all__ = ["RESOLUTIONS", "MelDistance", "Resolution", "StftDistance", "magnitudes"]

POWER_FLOOR = 1e-7  # at 0 the root has no gradient and the logarithm no value


class Resolution(NamedTuple):
    """The lengths of an STFT's FFT, hop and window, in samples."""

    fft_length: int
    hop_length: int
    window_length: int


# As in Parallel WaveGAN and in UnivNet's discriminators.
RESOLUTIONS = (Resolution(1024, 120, 600), Resolution(2048, 240, 1200), Resolution(512, 50, 240))


class StftDistance(nn.Module):
    """Multi-resolution STFT distance (Yamamoto et al., arXiv:1910.11480).

    It is the sum of two terms, averaged over the resolutions: the spectral convergence (the Frobenius norm of the
    difference of magnitudes, divided by that of the real magnitudes), and the mean absolute difference of
    log-magnitudes in nepers. Magnitudes are at least 3e-4. For a waveform scaled by g the distance is |1 - g| + |ln g|.

    The norms cover a whole batch, because the norm of one silent segment would be nearly 0, and the distance is divided
    by it.

    Args:
        resolutions: At least one resolution; a hop is at most its window, and a window at most its FFT.

    Raises:
        ContractError: There is no resolution, or a resolution is invalid.
    """

    def __init__(self, resolutions: Sequence[Resolution] = RESOLUTIONS) -> None:
        super().__init__()
        wrong = [each for each in resolutions if not 0 < each.hop_length <= each.window_length <= each.fft_length]
        if wrong or not resolutions:
            raise ContractError(
                f"expected resolutions with 0 < hop_length <= window_length <= fft_length, got {wrong or 'none'}"
            )
        self.resolutions = tuple(resolutions)
        for index, resolution in enumerate(self.resolutions):
            self.register_buffer(f"window_{index}", torch.hann_window(resolution.window_length), persistent=False)

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        """The distance between two batches of waveforms: (B, S), (B, S) -> a scalar."""
        total = generated.new_zeros((), dtype=torch.float32)
        for index, resolution in enumerate(self.resolutions):
            window = self.get_buffer(f"window_{index}")
            ours, theirs = magnitudes(generated, resolution, window), magnitudes(real, resolution, window)
            convergence = torch.linalg.vector_norm(theirs - ours) / torch.linalg.vector_norm(theirs)
            total = total + convergence + (theirs.log() - ours.log()).abs().mean()
        return total / len(self.resolutions)


class MelDistance(nn.Module):
    """Mean absolute difference of log-mels, in nepers for any base of the spec's logarithm.

    Args:
        spec: The spec of the mels, which also has the sample rate of the waveforms.
    """

    def __init__(self, spec: MelSpec) -> None:
        super().__init__()
        self.log_mel = LogMel(spec)
        self.nepers = 1.0 if spec.log_base == "e" else math.log(10)

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        """The distance between two batches of waveforms: (B, S), (B, S) -> a scalar."""
        rate = self.log_mel.spec.sample_rate_hz
        ours, theirs = (self.log_mel(Waveform.of(samples, rate)).values for samples in (generated, real))
        difference: Tensor = (ours - theirs).abs().mean() * self.nepers
        return difference


def magnitudes(samples: Tensor, resolution: Resolution, window: Tensor) -> Tensor:
    """Magnitudes of the STFT, at least 3e-4: (B, S) -> (B, fft_length // 2 + 1, frames) float32.

    Past both ends of the waveforms, silence is assumed.
    """
    with torch.autocast(samples.device.type, enabled=False):
        spectrum = torch.stft(
            samples.float(),
            n_fft=resolution.fft_length,
            hop_length=resolution.hop_length,
            win_length=resolution.window_length,
            window=window,
            center=True,
            pad_mode="constant",  # reflection would need segments longer than half a window
            return_complex=True,
        )
        return (spectrum.real.square() + spectrum.imag.square()).clamp(min=POWER_FLOOR).sqrt()
