"""Gradient reversal layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class GradientReversal(torch.autograd.Function):
    """The identity, whose gradient is turned round (Ganin and Lempitsky, arXiv:1505.07818)."""

    @staticmethod
    def forward(context: Any, values: Tensor, strength: float) -> Tensor:
        """Any shape."""
        context.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Of the same shape."""
        return -context.strength * gradient, None
