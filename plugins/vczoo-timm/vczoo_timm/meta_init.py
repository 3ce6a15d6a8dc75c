"""Building and running a timm network on the meta device, where its parameters take no memory.

vczoo checks the shapes of a run by building its model under a torch function mode that puts empty and random tensors on
the meta device. Buffers that no weights file defines, such as a table of frequencies, must still hold real values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

__all__ = ["compute_buffers", "init_on_meta", "run_on_meta"]

Place = tuple[nn.Module, str, Tensor]  # a module, the name of a tensor in it, and that tensor


def init_on_meta() -> AbstractContextManager[object]:
    """Put all of a new network on the meta device if empty tensors go there; timm computes with parts of it."""
    return torch.device("meta") if torch.empty(0).is_meta else nullcontext()


def compute_buffers(network: nn.Module) -> None:
    """Compute the buffers of a network on the meta device that no weights file defines.

    timm creates them empty and then fills them, which does nothing on the meta device. It has a method that repeats it.
    """
    for module in network.modules():
        own = module._non_persistent_buffers_set
        empty = [(name, buffer) for name, buffer in module.named_buffers(recurse=False) if name in own]
        empty = [(name, buffer) for name, buffer in empty if buffer.is_meta]
        for name, buffer in empty:
            setattr(module, name, torch.zeros(buffer.shape, dtype=buffer.dtype))
        if empty:
            # Some buffers are computed on the device of a parameter. One number, expanded, is enough for that.
            with _replaced(
                _parameters(module), lambda parameter: torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
            ):
                module.init_non_persistent_buffers()  # type: ignore[operator]


@contextmanager
def run_on_meta(network: nn.Module) -> Iterator[None]:
    """Move the buffers of a network on the meta device there, so that it can run, and restore them at the end.

    A network with real parameters is not changed.
    """
    if not any(parameter.is_meta for parameter in network.parameters()):
        yield
        return
    buffers = [(module, *own) for module in network.modules() for own in module.named_buffers(recurse=False)]
    with _replaced(buffers, lambda buffer: buffer.to("meta")):
        yield


def _parameters(network: nn.Module) -> list[Place]:
    return [(module, *own) for module in network.modules() for own in module.named_parameters(recurse=False)]


@contextmanager
def _replaced(places: Sequence[Place], other: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Replace tensors of modules, and restore them at the end."""
    for module, name, tensor in places:
        stand_in = other(tensor)
        setattr(module, name, nn.Parameter(stand_in) if isinstance(tensor, nn.Parameter) else stand_in)
    try:
        yield
    finally:
        for module, name, tensor in places:
            setattr(module, name, tensor)
