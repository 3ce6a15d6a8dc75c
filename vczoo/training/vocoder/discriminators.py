"""Waveforms in, verdicts out: networks that learn to tell real speech from a vocoder's, and losses of what they say.

Every discriminator is shown the waveform in another way: folded at a period, or as a spectrum at a resolution.
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
]

PERIODS = (2, 3, 5, 7, 11)
CHANNELS = 32  # of the first layer, as published
COARSE = (Resolution(1024, 160, 1024), Resolution(512, 128, 512))
SLOPE = 0.1  # of the activations below 0

Objective = Literal["least-squares", "hinge"]


class Verdict(NamedTuple):
    """What one discriminator says of a batch.

    Attributes:
        scores: (B, N), higher where it takes the waveform for real.
        features: what its layers saw, each (B, …).
    """

    scores: Tensor
    features: tuple[Tensor, ...]


class PeriodDiscriminator(nn.Module):
    """Looks at every `period`-th sample, for each of the offsets (HiFi-GAN, arXiv:2010.05646).

    Args:
        period: in samples.
        channels: of the first of five layers; the others have 4, 16, 32 and 32 times as many.
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
        """(B, S) of S at least 11."""
        missing = -samples.shape[1] % self.period
        rows = F.pad(samples[:, None], (0, missing), mode="reflect") if missing else samples[:, None]
        return _judge(rows.view(len(samples), 1, -1, self.period), self.layers, self.last)


class SpectrumDiscriminator(nn.Module):
    """Looks at magnitudes of the spectrum at one resolution (UnivNet, arXiv:2106.07889).

    Args:
        resolution: of the spectrum.
        channels: of each of five layers.
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
        """(B, S)."""
        spectrum = magnitudes(samples, self.resolution, self.window).transpose(1, 2)  # strides act on frequency
        return _judge(spectrum[:, None], self.layers, self.last)


class PatchDiscriminator(nn.Module):
    """Looks at patches of the log-magnitudes of the spectrum, through strides in time, too: a few percent of the work.

    Source of the patches: PatchGAN, arXiv:1611.07004.

    Args:
        resolution: of the spectrum.
        channels: of the first of four layers; the others have 2, 4 and 4 times as many.
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
        """(B, S)."""
        spectrum = magnitudes(samples, self.resolution, self.window).log().transpose(1, 2)
        return _judge(spectrum[:, None] / 4 + 1, self.layers, self.last)


class Discriminators(nn.Module):
    """Period and spectrum discriminators together: (B, S) -> one verdict each.

    Args:
        channels: of their first layers.
        periods, resolutions: one discriminator for each.
        coarse: whether those of spectra look at patches.

    Raises:
        ContractError: there would be none, or one without channels.
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
                *((PatchDiscriminator if coarse else SpectrumDiscriminator)(found, channels) for found in resolutions),
            ]
        )

    def forward(self, samples: Tensor) -> list[Verdict]:
        """(B, S) -> a verdict of each discriminator."""
        return [discriminator(samples) for discriminator in self.each]


def discriminator_loss(real: Sequence[Verdict], made: Sequence[Verdict], objective: Objective) -> Tensor:
    """What discriminators lose where they take the one for the other, averaged over them.

    Least squares pulls scores to 1 for real and to 0 for made waveforms (arXiv:1611.04076); hinge pushes them
    beyond 1 and beyond -1 (arXiv:1705.02894).
    """
    if objective == "hinge":
        return _mean(
            F.relu(1 - ours.scores).mean() + F.relu(1 + theirs.scores).mean()
            for ours, theirs in zip(real, made, strict=True)
        )
    return _mean(
        (ours.scores - 1).square().mean() + theirs.scores.square().mean()
        for ours, theirs in zip(real, made, strict=True)
    )


def generator_loss(made: Sequence[Verdict], objective: Objective) -> Tensor:
    """What a vocoder loses where discriminators see through it, averaged over them.

    Of least squares: how far scores are from 1. Of hinge: 1 less the score, as long as it is below 1.
    """
    if objective == "hinge":
        return _mean(F.relu(1 - verdict.scores).mean() for verdict in made)
    return _mean((verdict.scores - 1).square().mean() for verdict in made)


def feature_distance(real: Sequence[Verdict], made: Sequence[Verdict]) -> Tensor:
    """Mean absolute difference of what a layer saw, summed over layers, averaged over discriminators
    (arXiv:1910.06711). No gradient reaches the real ones.
    """
    pairs = zip(real, made, strict=True)
    return _mean(
        torch.stack(
            [(seen.detach() - shown).abs().mean() for seen, shown in zip(theirs.features, ours.features, strict=True)]
        ).sum()
        for theirs, ours in pairs
    )


def _judge(image: Tensor, layers: nn.ModuleList, last: nn.Module) -> Verdict:
    features = []
    for layer in layers:
        image = F.leaky_relu(layer(image), SLOPE)
        features.append(image)
    scores = last(image)
    return Verdict(scores.flatten(1), (*features, scores))


def _mean(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
