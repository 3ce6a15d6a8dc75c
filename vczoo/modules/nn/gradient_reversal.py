"""Gradient reversal layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class GradientReversal(torch.autograd.Function):
    """Identity function with a reversed gradient (Ganin and Lempitsky, arXiv:1505.07818)."""

    @staticmethod
    def forward(context: Any, values: Tensor, strength: float) -> Tensor:
        """Return `values`, of any shape, unchanged."""
        context.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient times -strength."""
        return -context.strength * gradient, None
