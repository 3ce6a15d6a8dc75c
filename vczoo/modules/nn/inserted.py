"""Small modules that tuning inserts into a network: changes of a weight, and bottleneck adapters.

A change of a weight is a parametrization (`torch.nn.utils.parametrize`), so it works wherever the network reads the
weight, and is merged into it in the end. An adapter is a child of the layer whose output it changes, and stays.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

__all__ = [
    "ADAPTER",
    "Bottleneck",
    "InputScale",
    "Inserted",
    "LowRank",
    "LowRankDirection",
    "change_weight",
    "insert_bottleneck",
    "layer_of",
    "merge_changes",
]

ADAPTER = "adapter"  # name of a bottleneck adapter in its layer
_LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


class Inserted(nn.Module):
    """A module that tuning has inserted, and that trains."""


class LowRank(Inserted):
    """Sum of a weight and a product of two small matrices: `weight + alpha / rank * up @ down`.

    `up` starts at 0, so the weight is unchanged at first. A convolution's weight counts as a matrix of its first axis
    and all others.

    Source: LoRA, arXiv:2106.09685.

    Args:
        weight: The weight to change.
        rank: Number of columns of `up` and of rows of `down`.
        alpha: Scale of the product, before it is divided by the rank.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        rows = weight.shape[0]
        self.down = nn.Parameter(weight.new_empty(rank, weight.numel() // rows))
        self.up = nn.Parameter(weight.new_zeros(rows, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        return weight + self.scale * (self.up @ self.down).view_as(weight)


class LowRankDirection(LowRank):
    """Product of a magnitude per output and a direction, which a low-rank matrix changes.

    Source: DoRA, arXiv:2402.09353; as there, the norm of the direction takes no part in the gradient.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__(weight, rank, alpha)
        self.magnitude = nn.Parameter(self._norm(weight.detach()).clone())

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        direction = super().forward(weight)
        changed: Tensor = direction * (self.magnitude / self._norm(direction.detach()))
        return changed

    @staticmethod
    def _norm(weight: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(weight.flatten(1), dim=1).clamp(min=1e-12)
        return norm.reshape(weight.shape[0], *[1] * (weight.dim() - 1))


class InputScale(Inserted):
    """One factor per input channel of a layer, which multiplies the columns of its weight; 1 at first.

    Source: (IA)3, arXiv:2205.05638, which scales the inner activations of feed-forward layers so.

    Args:
        weight: The weight to change, (outputs, inputs, …).
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(weight.new_ones(weight.shape[1], *[1] * (weight.dim() - 2)))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        scaled: Tensor = weight * self.scale
        return scaled


class Bottleneck(Inserted):
    """Bottleneck adapter: `x + up(gelu(down(x)))` along the channels. `up` starts at 0.

    Source: arXiv:1902.00751.

    Args:
        channels: Number of channels of input and output.
        width: Number of channels of the bottleneck.
        axis: Axis of the channels: -1 after a linear layer, 1 after a convolution.
    """

    def __init__(self, channels: int, width: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.down = nn.Parameter(torch.empty(width, channels))
        self.down_bias = nn.Parameter(torch.zeros(width))
        self.up = nn.Parameter(torch.zeros(channels, width))
        self.up_bias = nn.Parameter(torch.zeros(channels))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, activation: Tensor) -> Tensor:
        """Return the changed activation, of the same shape."""
        inner = F.gelu(F.linear(activation.movedim(self.axis, -1), self.down, self.down_bias))
        return activation + F.linear(inner, self.up, self.up_bias).movedim(-1, self.axis)


def layer_of(module: nn.Module) -> Any:
    """Return a module as a layer whose weight can be changed, or None if it is not one.

    It is one if it is a linear layer or a convolution, and holds its weight itself: with weight normalization, for
    example, the weight is computed from others.
    """
    return (
        module if isinstance(module, _LAYERS) and isinstance(module._parameters.get("weight"), nn.Parameter) else None
    )


def change_weight(layer: nn.Module, change: Inserted) -> None:
    """Let a change apply to a layer's weight until `merge_changes` is called."""
    parametrize.register_parametrization(layer, "weight", change, unsafe=True)


def merge_changes(module: nn.Module) -> None:
    """Replace the changed weights of all layers in a module by ordinary weights of the same values."""
    for layer in list(module.modules()):
        if not parametrize.is_parametrized(layer, "weight"):
            continue
        changes: Any = layer.parametrizations
        if any(isinstance(change, Inserted) for change in changes["weight"]):
            with torch.no_grad():
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def insert_bottleneck(layer: nn.Module, width: int) -> None:
    """Insert a bottleneck adapter after a layer, unless it has one."""
    if hasattr(layer, ADAPTER):
        return
    known: Any = layer
    channels, axis = (known.out_features, -1) if isinstance(layer, nn.Linear) else (known.out_channels, 1)
    layer.add_module(ADAPTER, Bottleneck(channels, width, axis).to(known.weight.device))
    layer.register_forward_hook(_adapted)


def _adapted(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    adapter: Any = getattr(layer, ADAPTER)
    changed: Tensor = adapter(output)
    return changed
