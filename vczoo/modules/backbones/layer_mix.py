"""`LayerMix`, a trained weighted sum of the layers of a backbone."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.interfaces.backbone import Backbone, Stage

__all__ = ["MIX", "LayerMix", "with_layer_mix"]

MIX = "mix"  # value of the option `layer`, and name of the stage


class LayerMix(Backbone):
    """Weighted sum of the outputs of a backbone's last stages, with one trained weight per stage.

    A softmax of the parameter `scores` gives the weights; they are equal at first. It is the last stage, `mix`, so
    `freezing: {use: partial, trainable_stages: 1}` freezes the backbone and trains the sum alone. From the first of the
    summed stages on, an activation holds the outputs of all of them, next to each other along its channels, and the
    cache of frozen stages keeps them all.

    Source: SUPERB, arXiv:2105.01051.

    Args:
        backbone: The backbone. It declares its `layer_stages`.

    Raises:
        ContractError: Fewer than two of its stages can be summed.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        stages = backbone.stages()
        if backbone.layer_stages < 2:
            reason = "it has one stage" if len(stages) == 1 else "its stages differ in frame rate or channels"
            raise ContractError(
                f"layer: mix needs two or more stages of one frame rate and number of channels, but "
                f"{type(backbone).__name__} has none: {reason}. Remove layer, or choose a transformer such as "
                "transformers/whisper-tiny.en"
            )
        if any(stage.name == MIX for stage in stages):
            raise ContractError(f"{type(backbone).__name__} has a stage called {MIX!r} already; rename it")
        self.backbone = backbone
        self.layer_names = tuple(stage.name for stage in stages[-backbone.layer_stages :])
        self.mix = WeightedSum(len(self.layer_names), backbone.channel_axis)
        self.spec, self.origin = backbone.spec, backbone.origin
        self._first = len(stages) - len(self.layer_names)

    def stages(self) -> tuple[Stage, ...]:
        """Return the backbone's stages, then `mix`."""
        return (*self.backbone.stages(), Stage(MIX, self.mix))

    def prepare(self, wave: Waveform) -> Tensor:
        """Compute the input of the first stage, as the backbone does."""
        return self.backbone.prepare(wave)

    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        """Convert the sum to frames, as the backbone does."""
        return self.backbone.collect(activation, lengths)

    def num_frames(self, num_samples: int) -> int:
        """Return the backbone's number of frames of a recording."""
        return self.backbone.num_frames(num_samples)

    def padded_length(self, num_samples: int) -> int:
        """Return the length in samples to which the backbone pads a recording."""
        return self.backbone.padded_length(num_samples)

    def run(self, activation: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Run stages `start` to `stop` (exclusive), and keep the output of each stage that is summed.

        Raises:
            ContractError: The outputs of two of these stages differ in shape.
        """
        axis, count = self.backbone.channel_axis, len(self.stages())
        for index in range(*slice(start, stop).indices(count)):
            if index == count - 1:
                activation = self.mix(activation)
            elif index <= self._first:
                activation = self.backbone.run(activation, index, index + 1)
            else:
                newest = activation.chunk(index - self._first, dim=axis)[-1]
                output = self.backbone.run(newest, index, index + 1)
                if output.shape != newest.shape:
                    raise ContractError(
                        f"layer: mix cannot sum {self.layer_names[0]} to {self.layer_names[-1]}: the output of "
                        f"{self.stages()[index].name} has the shape {tuple(output.shape)}, expected "
                        f"{tuple(newest.shape)}; report this to the author of {type(self.backbone).__name__}"
                    )
                activation = torch.cat([activation, output], dim=axis)
        return activation

    def shares(self) -> dict[str, float]:
        """Return the weight of each summed stage by its name; they add up to 1."""
        weights: list[float] = self.mix.weights().tolist()
        return dict(zip(self.layer_names, weights, strict=True))


class WeightedSum(nn.Module):
    """Weighted sum of equal parts of an activation along one axis. The weights are a softmax of `scores`.

    Args:
        count: Number of parts.
        axis: Axis along which they lie.
    """

    def __init__(self, count: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.scores = nn.Parameter(torch.zeros(count))

    def weights(self) -> Tensor:
        """Return the weights, which are positive and add up to 1."""
        return self.scores.detach().softmax(0)

    def forward(self, layers: Tensor) -> Tensor:
        """Sum the parts: (…, count * C, …) -> (…, C, …)."""
        weights = self.scores.softmax(0)
        parts = layers.chunk(len(weights), dim=self.axis)
        return sum((weight * part for weight, part in zip(weights[1:], parts[1:], strict=True)), weights[0] * parts[0])


def with_layer_mix(factory: Callable[..., Backbone]) -> Callable[..., Backbone]:
    """Return the factory of a backbone with a factory's options and a `LayerMix` around it."""

    @wraps(factory)
    def make(**options: Any) -> Backbone:
        return LayerMix(factory(**options))

    return make
