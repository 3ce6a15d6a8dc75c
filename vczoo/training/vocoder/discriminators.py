"""Discriminators and adversarial losses for vocoder training.

Each discriminator sees a different view of the waveform: folded at a period, or as a spectrum at a resolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from vczoo.errors import ContractError
from vczoo.training.vocoder.spectral_losses import RESOLUTIONS, Resolution, magnitudes

__all__ = [
    "COARSE",
    "PERIODS",
    "Discriminators",
    "Objective",
    "PatchDiscriminator",
    "PeriodDiscriminator",
    "SpectrumDiscriminator",
    "Verdict",
    "discriminator_loss",
    "feature_distance",
    "generator_loss",
    "judge",
]

PERIODS = (2, 3, 5, 7, 11)
CHANNELS = 32  # of the first layer, as published
COARSE = (Resolution(1024, 160, 1024), Resolution(512, 128, 512))
SLOPE = 0.1  # of the leaky ReLU, below 0

Objective = Literal["least-squares", "hinge"]


class Verdict(NamedTuple):
    """One discriminator's output for a batch.

    Attributes:
        scores: Scores, (B, N); higher means more likely to be real speech.
        features: The outputs of its layers, each (B, …).
    """

    scores: Tensor
    features: tuple[Tensor, ...]


class PeriodDiscriminator(nn.Module):
    """Discriminator of every `period`-th sample, for each offset (HiFi-GAN, arXiv:2010.05646).

    Args:
        period: The period, in samples.
        channels: The number of channels of the first layer. The other four layers have 4, 16, 32 and 32 times as many.
    """

    def __init__(self, period: int, channels: int = CHANNELS) -> None:
        super().__init__()
        self.period = period
        widths = [1, *(channels * factor for factor in (1, 4, 16, 32, 32))]
        strides = (3, 3, 3, 3, 1)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(narrow, wide, (5, 1), (stride, 1), (2, 0)))
            for narrow, wide, stride in zip(widths, widths[1:], strides, strict=False)
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, samples: Tensor) -> Verdict:
        """Judge waveforms, (B, S) with S at least 11."""
        missing = -samples.shape[1] % self.period
        rows = F.pad(samples[:, None], (0, missing), mode="reflect") if missing else samples[:, None]
        return judge(rows.view(len(samples), 1, -1, self.period), self.layers, self.last)


class SpectrumDiscriminator(nn.Module):
    """Discriminator of the magnitude spectrum at one resolution (UnivNet, arXiv:2106.07889).

    Args:
        resolution: The resolution of the spectrum.
        channels: The number of channels of each of the five layers.
    """

    window: Tensor

    def __init__(self, resolution: Resolution, channels: int = CHANNELS) -> None:
        super().__init__()
        self.resolution = resolution
        self.register_buffer("window", torch.hann_window(resolution.window_length), persistent=False)
        shapes = (((3, 9), (1, 1)), ((3, 9), (1, 2)), ((3, 9), (1, 2)), ((3, 9), (1, 2)), ((3, 3), (1, 1)))
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(channels if index else 1, channels, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))
            for index, (kernel, stride) in enumerate(shapes)
        )
        self.last = weight_norm(nn.Conv2d(channels, 1, (3, 3), padding=(1, 1)))

    def forward(self, samples: Tensor) -> Verdict:
        """Judge waveforms, (B, S)."""
        spectrum = magnitudes(samples, self.resolution, self.window).transpose(1, 2)  # strides act on frequency
        return judge(spectrum[:, None], self.layers, self.last)


class PatchDiscriminator(nn.Module):
    """Discriminator of patches of the log-magnitude spectrum (PatchGAN, arXiv:1611.07004).

    Its layers also stride in time, so it takes a few percent of the computation of `SpectrumDiscriminator`.

    Args:
        resolution: The resolution of the spectrum.
        channels: The number of channels of the first layer. The other three layers have 2, 4 and 4 times as many.
    """

    window: Tensor

    def __init__(self, resolution: Resolution, channels: int = CHANNELS) -> None:
        super().__init__()
        self.resolution = resolution
        self.register_buffer("window", torch.hann_window(resolution.window_length), persistent=False)
        widths = [1, channels, 2 * channels, 4 * channels, 4 * channels]
        shapes = (((5, 7), (2, 4)), ((3, 5), (2, 2)), ((3, 5), (2, 2)), ((3, 5), (1, 2)))
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(narrow, wide, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))
            for narrow, wide, (kernel, stride) in zip(widths, widths[1:], shapes, strict=False)
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (3, 3), padding=(1, 1)))

    def forward(self, samples: Tensor) -> Verdict:
        """Judge waveforms, (B, S)."""
        spectrum = magnitudes(samples, self.resolution, self.window).log().transpose(1, 2)
        return judge(spectrum[:, None] / 4 + 1, self.layers, self.last)


class Discriminators(nn.Module):
    """Period and spectrum discriminators together: (B, S) -> one verdict each.

    Args:
        channels: The number of channels of each first layer.
        periods: The periods; each gets one discriminator.
        resolutions: The resolutions of spectra; each gets one discriminator.
        coarse: Whether spectra get a `PatchDiscriminator` instead of a `SpectrumDiscriminator`.

    Raises:
        ContractError: There would be no discriminator, or no channels.
    """

    def __init__(
        self,
        channels: int = CHANNELS,
        periods: Sequence[int] = PERIODS,
        resolutions: Sequence[Resolution] = RESOLUTIONS,
        coarse: bool = False,
    ) -> None:
        super().__init__()
        if channels < 1 or not (periods or resolutions):
            raise ContractError(
                f"discriminators need at least one channel and a period or a resolution, got channels={channels}, "
                f"periods={tuple(periods)}, resolutions={tuple(resolutions)}"
            )
        self.each = nn.ModuleList(
            [
                *(PeriodDiscriminator(period, channels) for period in periods),
                *((PatchDiscriminator if coarse else SpectrumDiscriminator)(each, channels) for each in resolutions),
            ]
        )

    def forward(self, samples: Tensor) -> list[Verdict]:
        """Judge waveforms: (B, S) -> one verdict per discriminator."""
        return [discriminator(samples) for discriminator in self.each]


def discriminator_loss(real: Sequence[Verdict], generated: Sequence[Verdict], objective: Objective) -> Tensor:
    """The loss of the discriminators, averaged over them.

    Least squares pulls scores to 1 for real and to 0 for generated waveforms (arXiv:1611.04076). Hinge pushes them
    above 1 and below -1 (arXiv:1705.02894).
    """
    if objective == "hinge":
        return _mean(
            F.relu(1 - of_real.scores).mean() + F.relu(1 + of_generated.scores).mean()
            for of_real, of_generated in zip(real, generated, strict=True)
        )
    return _mean(
        (of_real.scores - 1).square().mean() + of_generated.scores.square().mean()
        for of_real, of_generated in zip(real, generated, strict=True)
    )


def generator_loss(generated: Sequence[Verdict], objective: Objective) -> Tensor:
    """The adversarial loss of the vocoder, averaged over the discriminators.

    Least squares: the squared difference of scores from 1. Hinge: 1 minus the score, if that is positive.
    """
    if objective == "hinge":
        return _mean(F.relu(1 - verdict.scores).mean() for verdict in generated)
    return _mean((verdict.scores - 1).square().mean() for verdict in generated)


def feature_distance(real: Sequence[Verdict], generated: Sequence[Verdict]) -> Tensor:
    """Feature-matching loss (arXiv:1910.06711): the mean absolute difference of each layer's outputs.

    It is summed over layers and averaged over discriminators. No gradient flows to the real features.
    """
    pairs = zip(real, generated, strict=True)
    return _mean(
        torch.stack(
            [(x.detach() - y).abs().mean() for x, y in zip(of_real.features, of_generated.features, strict=True)]
        ).sum()
        for of_real, of_generated in pairs
    )


def judge(image: Tensor, layers: nn.ModuleList, last: nn.Module) -> Verdict:
    """Run the layers of a discriminator on an image, (B, 1, H, W), with a leaky ReLU after each, and the last one."""
    features = []
    for layer in layers:
        image = F.leaky_relu(layer(image), SLOPE)
        features.append(image)
    scores = last(image)
    return Verdict(scores.flatten(1), (*features, scores))


def _mean(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
