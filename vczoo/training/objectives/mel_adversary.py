"""Discriminators of log-mels, against the blur of a decoder that is trained by the mean absolute error alone."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from vczoo.audio.frames import Frames
from vczoo.training.vocoder.discriminators import (
    Verdict,
    discriminator_loss,
    feature_distance,
    generator_loss,
    judge,
)

__all__ = ["MelDiscriminators"]

STRIDES = (((2, 2), (2, 2), (2, 2), (1, 1)), ((1, 2), (1, 2), (1, 2), (1, 1)))  # (frames, bands) of each layer
KERNELS = ((5, 5), (3, 5), (3, 3), (3, 3))
CHANNELS = (16, 8)  # of the first layers
SILENCE = -6.0  # what padding is replaced by, for all
OBJECTIVE: Literal["least-squares"] = "least-squares"


class MelPatches(nn.Module):
    """Discriminator of patches of log-mels (PatchGAN, arXiv:1611.07004).

    Args:
        channels: Number of channels of the first layer. The other three have 2, 4 and 4 times as many.
        strides: Strides of the four layers over frames and bands.
    """

    def __init__(self, channels: int, strides: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        widths = [1, channels, 2 * channels, 4 * channels, 4 * channels]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(narrow, wide, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))
            for narrow, wide, kernel, stride in zip(widths, widths[1:], KERNELS, strides, strict=False)
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (3, 3), padding=(1, 1)))

    def forward(self, mel: Tensor) -> Verdict:
        """Judge log-mels, (B, T, num_mels)."""
        return judge(mel[:, None] / 4 + 1, self.layers, self.last)


class MelDiscriminators(nn.Module):
    """A coarse and a fine discriminator of log-mels, trained in one backward pass with the decoder that they judge."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.ModuleList(
            MelPatches(channels, strides) for channels, strides in zip(CHANNELS, STRIDES, strict=True)
        )

    def forward(self, predicted: Frames, target: Frames) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the losses of the discriminators and of the decoder.

        Args:
            predicted: Log-mels of the decoder, (B, T, num_mels).
            target: Those of the recordings, of the same lengths.

        Returns:
            The loss of the discriminators, whose gradient does not reach the decoder; the adversarial loss of the
            decoder, and its feature matching loss, whose gradients do not reach the discriminators.
        """
        mask = target.mask()
        real = target.values.where(mask, SILENCE)
        generated = predicted.values[:, : real.shape[1]].where(mask, SILENCE)
        of_real = self._judge(real)
        own = discriminator_loss(of_real, self._judge(generated.detach()), OBJECTIVE)
        self.requires_grad_(False)
        verdicts = self._judge(generated)
        losses = own, generator_loss(verdicts, OBJECTIVE), feature_distance(of_real, verdicts)
        self.requires_grad_(True)
        return losses

    def _judge(self, mel: Tensor) -> list[Verdict]:
        return [discriminator(mel) for discriminator in self.each]
