"""Torch's default dtype: models are built and trained in float32, whatever the program around has chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["single_precision"]


@contextmanager
def single_precision() -> Iterator[None]:
    """Context manager and decorator: torch's default dtype is float32 meanwhile.

    Torch has one default dtype per process, so it is left alone if it is float32 already.
    """
    chosen = torch.get_default_dtype()
    if chosen == torch.float32:
        yield
        return
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(chosen)
