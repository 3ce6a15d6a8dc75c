"""A timm network without memory for its parameters: how it is built, what of it is real, and how it is run.

Whoever checks the shapes of a run builds its model while a torch function mode puts what is empty or random on the meta
device: parameters are outlines then. What no weights define, a table of frequencies say, is to be real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

__all__ = ["on_meta", "outlined", "settle"]

Place = tuple[nn.Module, str, Tensor]  # a module, and a tensor of its own by its name


def outlined() -> AbstractContextManager[object]:
    """Where memory is not to be taken, put all of a new network on the meta device, since timm computes with it."""
    return torch.device("meta") if torch.empty(0).is_meta else nullcontext()


def settle(network: nn.Module) -> None:
    """Compute the buffers of an outline that no weights define.

    timm makes them empty and fills them in then, which on the meta device does nothing; it has a method to do it anew.
    """
    for module in network.modules():
        own = module._non_persistent_buffers_set
        empty = [(name, buffer) for name, buffer in module.named_buffers(recurse=False) if name in own]
        empty = [(name, buffer) for name, buffer in empty if buffer.is_meta]
        for name, buffer in empty:
            setattr(module, name, torch.zeros(buffer.shape, dtype=buffer.dtype))
        if empty:
            # Some compute on the device of a parameter; one number, repeated, is as good as a real one.
            with _replaced(
                _parameters(module), lambda outline: torch.zeros((), dtype=outline.dtype).expand(outline.shape)
            ):
                module.init_non_persistent_buffers()  # type: ignore[operator]


@contextmanager
def on_meta(network: nn.Module) -> Iterator[None]:
    """Let an outline be run: all of its buffers are on the meta device until the end.

    A network that is real is left as it is.
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
    """Put other tensors in place of these, and these back at the end, wherever their modules are by then."""
    for module, name, tensor in places:
        stand_in = other(tensor)
        setattr(module, name, nn.Parameter(stand_in) if isinstance(tensor, nn.Parameter) else stand_in)
    try:
        yield
    finally:
        for module, name, tensor in places:
            setattr(module, name, tensor)
