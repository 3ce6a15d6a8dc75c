"""Precision of models: they are built and trained in float32, and their weights must stay so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from vczoo.errors import ContractError

__all__ = ["check_single_precision", "single_precision"]


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


def check_single_precision(name: str, part: nn.Module) -> None:
    """Check that no weight of a part was converted to half precision.

    Args:
        name: What the message calls the part.
        part: The part.

    Raises:
        ContractError: A weight is float16 or bfloat16.
    """
    narrow = {parameter.dtype for parameter in part.parameters()} & {torch.float16, torch.bfloat16}
    if narrow:
        raise ContractError(
            f"{name} reads float32, but has weights of {narrow.pop()}; call float() on it, and run it under "
            "torch.autocast to compute in half precision"
        )
