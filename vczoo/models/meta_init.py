"""Meta initialization: modules built without memory for their weights.

Inside `init_on_meta`, tensors that a factory fills with random values or leaves uninitialized are on torch's meta
device, with their names, types and shapes. Constants such as windows and filters are real.
`vczoo.io.tensors.load_strictly` replaces the tensors on the meta device with loaded ones.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from vczoo.errors import ContractError, first_line

__all__ = ["init_on_meta", "meta_tensors"]

MOST_PARTS = 20_000  # parameters and modules; the largest models of the zoo have about 2,000
MOST_CONSTANTS = 2**26  # elements of all constants together; models of the zoo have at most 2**23


def _empty_like(tensor: Tensor, **settings: Any) -> Tensor:
    """What `torch.empty_like` returns; see `UNFILLED`."""
    if settings.get("memory_format") or not tensor.is_contiguous():
        return torch.empty_like(tensor, **settings)
    return torch.empty(tensor.shape, **{**settings, "dtype": settings.get("dtype") or tensor.dtype})


# Functions whose tensors are created on the meta device, and by which function there: the meta versions of the random
# ones, and of `empty_like`, are written in Python, and import sympy and torch._dynamo, which takes longer than the
# import of torch.
UNFILLED: dict[Any, Any] = {
    torch.empty: torch.empty,
    torch.empty_like: _empty_like,
    torch.normal: torch.normal,
    torch.rand: torch.empty,
    torch.rand_like: _empty_like,
    torch.randn: torch.empty,
    torch.randn_like: _empty_like,
    torch.Tensor.new_empty: torch.Tensor.new_empty,
}
# By name, because transformers replaces the functions of torch.nn.init with its own.
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
    """Context manager in which the modules that this thread builds have their weights on the meta device.

    Raises:
        ContractError: A module built inside has too many parts or too many constants, or a tensor of impossible size.
    """
    count, thread = 0, threading.get_ident()

    def count_part(*_: Any) -> None:
        nonlocal count
        if threading.get_ident() != thread:  # the hooks are global
            return
        count += 1
        if count > MOST_PARTS:
            raise ContractError(f"it has more than {MOST_PARTS} parameters and modules; choose smaller options")

    with ExitStack() as stack:
        for hook in (
            hooks.register_module_parameter_registration_hook(count_part),
            hooks.register_module_module_registration_hook(count_part),
        ):
            stack.callback(hook.remove)
        stack.enter_context(_MetaMode())
        yield


class _MetaMode(TorchFunctionMode):
    """Creates uninitialized and random tensors on the meta device, and refuses constants that are too large."""

    def __init__(self) -> None:
        super().__init__()
        self.constants = 0  # elements so far

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in FILLS:
            target = args[0] if args else kwargs.get("tensor")
            if isinstance(target, Tensor) and target.is_meta:  # skipped, since torch simulates the fill in slow Python
                return target
        if func is nn.functional.normalize and args and args[0].is_meta:  # of the same shape; see `UNFILLED`
            return args[0]
        if func not in UNFILLED and func not in CONSTANT:
            return func(*args, **kwargs)
        try:
            if func in UNFILLED:
                settings = {name: value for name, value in kwargs.items() if name != "generator"}
                tensor = UNFILLED[func](*args, **{**settings, "device": "meta"})
                if tensor.numel() or kwargs.get("device") is None:
                    return tensor
                # torch.load creates each tensor empty on its device, and then fills it from the file.
                return func(*args, **kwargs)
            count = _count(func, args, kwargs)
            if self.constants + count <= MOST_CONSTANTS:
                constant = func(*args, **kwargs)
                self.constants += 0 if constant.is_meta else count
                return constant
        except (RuntimeError, ArithmeticError, TypeError) as error:  # sizes that are negative or exceed 64 bits
            raise ContractError(f"it needs a tensor of impossible size: {first_line(error)}") from error
        raise ContractError(
            f"it needs constants of {self.constants + count} values, but at most {MOST_CONSTANTS} are allowed; "
            "choose smaller options"
        )


def _count(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Number of elements of the tensor that a function of `CONSTANT` would create.

    Not from the meta versions that are written in Python; see `UNFILLED`.
    """
    if func is torch.hann_window:
        return int(args[0] if args else kwargs["window_length"])
    if func in (torch.linspace, torch.logspace):
        return int(args[2] if len(args) > 2 else kwargs["steps"])
    if func is torch.eye:
        rows = args[0] if args else kwargs["n"]
        return int(rows * (args[1] if len(args) > 1 else kwargs.get("m", rows)))
    if func is torch.arange:
        start, end, step = _range_of(*args, **kwargs)
        return max(0, math.ceil((end - start) / step))
    return int(func(*args, **{**kwargs, "device": "meta"}).numel())


def _range_of(start: float = 0, end: float | None = None, step: float = 1, **_: Any) -> tuple[float, float, float]:
    """Start, end and step from the arguments of `torch.arange`, whose first is the end if it is the only one."""
    return (0, start, step) if end is None else (start, end, step)


def meta_tensors(module: nn.Module) -> list[str]:
    """Names of the parameters and buffers of a module that are still on the meta device."""
    return [
        name
        for tensors in (module.named_parameters(), module.named_buffers())
        for name, tensor in tensors
        if tensor.is_meta
    ]
