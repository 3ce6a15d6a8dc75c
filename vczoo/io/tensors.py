"""Strict loading of tensors from safetensors files, and fingerprints of tensors."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vczoo.errors import WeightsError
from vczoo.io.tensor_file import Slot, layout_faults, layout_of, read_layout, some_names

__all__ = ["digest", "fingerprint", "fingerprint_of", "load_strictly", "put_tensors", "read_tensors"]


def read_tensors(path: str | os.PathLike[str], layout: Mapping[str, Slot] | None = None) -> dict[str, Tensor]:
    """Read a safetensors file.

    Args:
        path: The file.
        layout: The result of `read_layout` for this file, if it was read before.

    Returns:
        The tensors by name, on the CPU.

    Raises:
        WeightsError: the file is missing, is not a safetensors file, holds NaN or infinity, or changes during the read.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; check the path (relative paths start at {Path.cwd()})")
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path}: weights are read only from .safetensors files, since a {path.suffix or 'file without a suffix'} "
            "may run code when it is opened; convert it with safetensors.torch.save_file"
        )
    layout = read_layout(path) if layout is None else layout
    try:
        tensors = load_file(path)
    # safetensors opens the file twice; torch raises a RuntimeError if it has gone by the second time.
    except (SafetensorError, OSError, RuntimeError) as error:
        raise WeightsError(f"{path}: not a safetensors file ({error}); download or export it again") from error
    if layout_of(tensors) != layout:
        raise WeightsError(
            f"{path}: the file changed while it was being read; stop whatever writes to it, then try again"
        )
    not_finite = [name for name, tensor in tensors.items() if not finite(tensor)]
    if not_finite:
        raise WeightsError(
            f"{path}: NaN or infinity in {some_names(not_finite)}; the file is damaged, or the training diverged"
        )
    return tensors


def finite(tensor: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    low, high = torch.aminmax(tensor)  # propagates NaN, and needs no mask of the tensor's size
    return math.isfinite(low.item()) and math.isfinite(high.item())


def load_strictly(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    where: str,
    unused: tuple[str, ...] = (),
    may_miss: tuple[str, ...] = (),
) -> None:
    """Load tensors into a module. Every tensor of either must have a counterpart in the other.

    Args:
        module: The module to load into.
        tensors: The tensors, by their names in the module's state dict.
        where: Name of the source, for errors.
        unused: Prefixes of names that the module may lack (for example of a classifier that was cut off).
        may_miss: Suffixes of names that `tensors` may lack (for example BatchNorm's counters).

    Raises:
        WeightsError: names are missing or unexpected, or shapes or types differ. The message has all of these faults,
            and the module is unchanged.
    """
    state = module.state_dict()
    used = {name: tensor for name, tensor in tensors.items() if name in state or not name.startswith(unused or "\0")}
    optional = [name for name in state if name.endswith(may_miss or "\0")]
    faults = layout_faults(layout_of(used), layout_of(state), optional, cast=True)
    if faults:
        raise WeightsError(f"{where} does not fit: " + "; ".join(faults) + ". Is it from another model?")
    put_tensors(module, used)


def put_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into a module. Their names and shapes must have been checked before.

    Meta tensors of the module are replaced by new tensors.
    """
    state = module.state_dict()
    placed: dict[int, nn.Parameter] = {}  # new parameters by the id of the old one, which two names may share
    with torch.no_grad():
        for name, tensor in tensors.items():
            if state[name].is_meta:
                _place_tensor(module, name, tensor.to(state[name].dtype), placed)
            else:
                state[name].copy_(tensor)


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, dtypes, shapes and values of tensors, independent of their order and device."""
    return fingerprint_of({name: digest(tensor) for name, tensor in tensors.items()})


def fingerprint_of(digests: Mapping[str, str]) -> str:
    """Like `fingerprint`, from the `digest` of each tensor."""
    return hashlib.sha256("".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode()).hexdigest()


def digest(tensor: Tensor) -> str:
    """SHA-256 over the dtype, shape and values of a tensor, independent of its device."""
    values = tensor.detach().cpu().contiguous()
    sha256 = hashlib.sha256(f"{values.dtype} {tuple(values.shape)}\n".encode())
    sha256.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()


def _place_tensor(module: nn.Module, name: str, tensor: Tensor, placed: dict[int, nn.Parameter]) -> None:
    """Replace a meta tensor of a module."""
    # Copied, since the tensor may be in a memory-mapped file. Such a file may change, and its tensors are not aligned
    # like those that torch allocates, which changes how sums are rounded.
    tensor = tensor.clone()
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    if leaf in owner._buffers:
        owner._buffers[leaf] = tensor
        return
    parameter = owner._parameters[leaf]
    assert parameter is not None
    owner._parameters[leaf] = placed.setdefault(id(parameter), nn.Parameter(tensor, parameter.requires_grad))
