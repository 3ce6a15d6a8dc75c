"""A model without its weights: what is built inside of `outlined` has every parameter's name, type and shape, and
takes no memory for them.

What a factory would fill with random values, or leave empty, is on torch's meta device; constants such as windows and
filters are real. `vczoo.io.tensors.load_strictly` puts tensors in the place of what is on the meta device.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from vczoo.errors import ContractError

__all__ = ["init_on_meta", "meta_tensors"]

MOST_PARTS = 20_000  # parameters and modules; the largest models of the zoo have some 2,000
MOST_CONSTANTS = 2**26  # elements, all together; those of the zoo have at most 2**23
UNFILLED = {
    torch.empty,
    torch.empty_like,
    torch.normal,
    torch.rand,
    torch.rand_like,
    torch.randn,
    torch.randn_like,
    torch.Tensor.new_empty,
}
# By name: transformers puts functions of its own in the place of torch.nn.init's.
FILLS = {
    *("constant_", "fill_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "trunc_normal_"),
    *("uniform_", "xavier_normal_", "xavier_uniform_", "zero_", "zeros_"),
}
CONSTANT = {
    torch.arange,
    torch.eye,
    torch.full,
    torch.hann_window,
    torch.linspace,
    torch.logspace,
    torch.ones,
    torch.zeros,
    torch.Tensor.new_full,
    torch.Tensor.new_ones,
    torch.Tensor.new_zeros,
}


@contextmanager
def init_on_meta() -> Iterator[None]:
    """While it lasts, modules that this thread makes are outlines.

    Raises:
        ContractError: from what is made inside: it has more parts, or more constants, than any model should, or a
            tensor of impossible size.
    """
    count, thread = 0, threading.get_ident()

    def tally(*_: Any) -> None:
        nonlocal count
        if threading.get_ident() != thread:  # the hooks are of all threads
            return
        count += 1
        if count > MOST_PARTS:
            raise ContractError(f"it has more than {MOST_PARTS} parameters and modules; make its options smaller")

    with ExitStack() as stack:
        for hook in (
            hooks.register_module_parameter_registration_hook(tally),
            hooks.register_module_module_registration_hook(tally),
        ):
            stack.callback(hook.remove)
        stack.enter_context(_Outline())
        yield


class _Outline(TorchFunctionMode):
    """Sends unfilled tensors to the meta device, and refuses constants that are too large."""

    def __init__(self) -> None:
        super().__init__()
        self.constants = 0  # elements so far

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in FILLS:
            filled = args[0] if args else kwargs.get("tensor")
            if isinstance(filled, Tensor) and filled.is_meta:  # torch would work out in Python what becomes of nothing
                return filled
        if func not in UNFILLED and func not in CONSTANT:
            return func(*args, **kwargs)
        try:
            if func in UNFILLED:
                outline = func(*args, **{**kwargs, "device": "meta"})
                if outline.numel() or kwargs.get("device") is None:
                    return outline
                # torch.load begins each tensor as an empty one on its device, which it then gives what the file holds.
                return func(*args, **kwargs)
            count = _count(func, args, kwargs)
        except (RuntimeError, OverflowError, TypeError) as error:  # of sizes that are no 64-bit numbers, or negative
            raise ContractError(f"it needs a tensor of impossible size: {_first_line(error)}") from error
        if self.constants + count > MOST_CONSTANTS:
            raise ContractError(
                f"it needs constants of {self.constants + count} values, at most {MOST_CONSTANTS} are made; "
                "make its options smaller"
            )
        made = func(*args, **kwargs)
        self.constants += 0 if made.is_meta else count
        return made


def _count(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """The elements of what a function of `CONSTANT` would make."""
    if func is torch.hann_window:  # whose outline torch works out in Python, in 2 ms
        return int(args[0] if args else kwargs["window_length"])
    return int(func(*args, **{**kwargs, "device": "meta"}).numel())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def meta_tensors(module: nn.Module) -> list[str]:
    """The names of parameters and buffers that are still on the meta device."""
    return [
        name
        for tensors in (module.named_parameters(), module.named_buffers())
        for name, tensor in tensors
        if tensor.is_meta
    ]
