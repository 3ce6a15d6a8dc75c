"""Two waveforms in, how far apart they sound out: by their spectra at several resolutions, and by their mels.

Both distances are differentiable, computed in float32 and 0 for equal waveforms. A training excerpt may be silent.
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

POWER_FLOOR = 1e-7  # the root has no gradient at 0, and the logarithm no value


class Resolution(NamedTuple):
    """How a spectrum is taken, in samples."""

    fft_length: int
    hop_length: int
    window_length: int


# Those of Parallel WaveGAN and of UnivNet's discriminators.
RESOLUTIONS = (Resolution(1024, 120, 600), Resolution(2048, 240, 1200), Resolution(512, 50, 240))


class StftDistance(nn.Module):
    """Multi-resolution STFT distance (Yamamoto et al., arXiv:1910.11480).

    The sum of spectral convergence, the Frobenius norm of the difference of magnitudes over that of the real ones,
    and the mean absolute difference of log-magnitudes in nepers; averaged over the resolutions. Magnitudes are at
    least 3e-4. For a waveform scaled by g it is |1 - g| + |ln g|.

    The norms are those of a whole batch: by itself, a silent excerpt's would be next to nothing to divide by.

    Args:
        resolutions: at least one; a hop is at most its window and a window at most its FFT.

    Raises:
        ContractError: no such resolutions.
    """

    def __init__(self, resolutions: Sequence[Resolution] = RESOLUTIONS) -> None:
        super().__init__()
        wrong = [found for found in resolutions if not 0 < found.hop_length <= found.window_length <= found.fft_length]
        if wrong or not resolutions:
            raise ContractError(
                f"a resolution has 0 < hop_length <= window_length <= fft_length, got {wrong or 'no resolution'}"
            )
        self.resolutions = tuple(resolutions)
        for index, resolution in enumerate(self.resolutions):
            self.register_buffer(f"window_{index}", torch.hann_window(resolution.window_length), persistent=False)

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """(B, S), (B, S) -> a scalar."""
        total = made.new_zeros((), dtype=torch.float32)
        for index, resolution in enumerate(self.resolutions):
            window = self.get_buffer(f"window_{index}")
            ours, theirs = magnitudes(made, resolution, window), magnitudes(real, resolution, window)
            convergence = torch.linalg.vector_norm(theirs - ours) / torch.linalg.vector_norm(theirs)
            total = total + convergence + (theirs.log() - ours.log()).abs().mean()
        return total / len(self.resolutions)


class MelDistance(nn.Module):
    """Mean absolute difference of log-mels, in nepers whatever the spec's logarithm is.

    Args:
        spec: of the mels, and of the rate of the waveforms.
    """

    def __init__(self, spec: MelSpec) -> None:
        super().__init__()
        self.log_mel = LogMel(spec)
        self.nepers = 1.0 if spec.log_base == "e" else math.log(10)

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """(B, S), (B, S) -> a scalar."""
        rate = self.log_mel.spec.sample_rate_hz
        ours, theirs = (self.log_mel(Waveform.of(samples, rate)).values for samples in (made, real))
        difference: Tensor = (ours - theirs).abs().mean() * self.nepers
        return difference


def magnitudes(samples: Tensor, resolution: Resolution, window: Tensor) -> Tensor:
    """(B, S) -> (B, fft_length // 2 + 1, frames) float32, at least 3e-4; what is past the ends counts as silence."""
    with torch.autocast(samples.device.type, enabled=False):
        spectrum = torch.stft(
            samples.float(),
            n_fft=resolution.fft_length,
            hop_length=resolution.hop_length,
            win_length=resolution.window_length,
            window=window,
            center=True,
            pad_mode="constant",  # a mirror image needs an excerpt longer than half a window
            return_complex=True,
        )
        return (spectrum.real.square() + spectrum.imag.square()).clamp(min=POWER_FLOOR).sqrt()
