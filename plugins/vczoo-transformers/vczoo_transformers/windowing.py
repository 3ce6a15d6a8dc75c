"""Running a batch a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["by_rows"]

FRAMES_AT_ONCE = 3000  # one minute; limits the memory of a long recording when no gradient is needed


def by_rows(function: Callable[[Tensor], Tensor], values: Tensor, frames: int) -> Tensor:
    """Apply a function to a batch in parts of some rows, to limit memory. With gradients, apply it to the whole batch.

    Args:
        function: A function that computes each row by itself.
        values: The batch.
        frames: The number of frames of a row.
    """
    rows = max(1, FRAMES_AT_ONCE // max(1, frames))
    if torch.is_grad_enabled() or values.shape[0] <= rows:
        return function(values)
    return torch.cat([function(part) for part in torch.split(values, rows)])
