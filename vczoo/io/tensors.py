"""Tensors in safetensors files: strict loading and fingerprints."""

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
        layout: what `read_layout` gave for it, where it was asked before.

    Raises:
        WeightsError: it is absent, not a safetensors file, holds NaN or infinity, or changes while it is read.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of weights; check the path (it is relative to {Path.cwd()})")
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path}: weights are read from .safetensors alone, since a {path.suffix or 'file without suffix'} may "
            "run code when it is opened; convert it with safetensors.torch.save_file"
        )
    layout = read_layout(path) if layout is None else layout
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a safetensors file ({error}); download or export it again") from error
    if layout_of(tensors) != layout:
        raise WeightsError(f"{path}: it changed while it was read; see what writes to it, then read it again")
    broken = [name for name, tensor in tensors.items() if not finite(tensor)]
    if broken:
        raise WeightsError(f"{path}: NaN or infinity in {some_names(broken)}; the file is damaged or training diverged")
    return tensors


def finite(tensor: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    low, high = torch.aminmax(tensor)  # which NaN passes through, and which need no mask of the tensor's size
    return math.isfinite(low.item()) and math.isfinite(high.item())


def load_strictly(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    where: str,
    unused: tuple[str, ...] = (),
    may_miss: tuple[str, ...] = (),
) -> None:
    """Load tensors into a module; each must be accounted for.

    Args:
        where: what to call the source in an error.
        unused: prefixes of names that the module is known not to need (a classifier that was cut off).
        may_miss: suffixes of names that the tensors are known to leave out (BatchNorm's counters).

    Raises:
        WeightsError: missing and unexpected names and wrong shapes, all together. The module is unchanged then.
    """
    wanted = module.state_dict()
    given = {name: tensor for name, tensor in tensors.items() if name in wanted or not name.startswith(unused or "\0")}
    missed = [name for name in wanted if name.endswith(may_miss or "\0")]
    faults = layout_faults(layout_of(given), layout_of(wanted), missed, cast=True)
    if faults:
        raise WeightsError(f"{where} does not fit: " + "; ".join(faults) + ". Is it from another model?")
    put_tensors(module, given)


def put_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a module values whose names and shapes were checked; an outline takes them for its own."""
    wanted = module.state_dict()
    placed: dict[int, nn.Parameter] = {}  # by the parameter before, which two names may share
    with torch.no_grad():
        for name, tensor in tensors.items():
            if wanted[name].is_meta:
                _place_tensor(module, name, tensor.to(wanted[name].dtype), placed)
            else:
                wanted[name].copy_(tensor)


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and values, independent of their order and of the device."""
    return fingerprint_of({name: digest(tensor) for name, tensor in tensors.items()})


def fingerprint_of(digests: Mapping[str, str]) -> str:
    """As `fingerprint`, from the digest of each tensor."""
    return hashlib.sha256("".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode()).hexdigest()


def digest(tensor: Tensor) -> str:
    """SHA-256 over dtype, shape and values, independent of the device."""
    values = tensor.detach().cpu().contiguous()
    found = hashlib.sha256(f"{values.dtype} {tuple(values.shape)}\n".encode())
    found.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _place_tensor(module: nn.Module, name: str, tensor: Tensor, placed: dict[int, nn.Parameter]) -> None:
    """Put a tensor where an outline has none yet."""
    # It may lie in a mapped file, which may change, and where sums are rounded otherwise: a file's tensors are not
    # aligned as those that torch allocates.
    tensor = tensor.clone()
    place, _, leaf = name.rpartition(".")
    owner = module.get_submodule(place)
    if leaf in owner._buffers:
        owner._buffers[leaf] = tensor
        return
    before = owner._parameters[leaf]
    assert before is not None
    owner._parameters[leaf] = placed.setdefault(id(before), nn.Parameter(tensor, before.requires_grad))
