"""Exponential moving average of weights (Polyak averaging, arXiv:1412.6980 section 7.2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vczoo.io.tensors import put_tensors

__all__ = ["WeightAverage"]


class WeightAverage:
    """The exponential moving average of a module's parameters and buffers.

    Args:
        module: The module, which goes on training with its own weights.
        decay: The share of the average that each update keeps, 0 to 1: 0.999 averages over about 1,000 steps.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.tensors: dict[str, Tensor] = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the module's weights after a step. The first step replaces the average, as in torch's `AveragedModel`."""
        for name, value in self.module.state_dict().items():
            if step == 0 or not value.is_floating_point():
                self.tensors[name].copy_(value)
            else:
                self.tensors[name].lerp_(value, 1 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the module the averaged weights for a while."""
        own = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        put_tensors(self.module, self.tensors)
        try:
            yield
        finally:
            put_tensors(self.module, own)
