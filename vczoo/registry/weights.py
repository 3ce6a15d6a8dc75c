"""Pretrained weights: a file in, a strictly loaded module out; never guessed, never pickled."""

from __future__ import annotations

import hashlib
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vczoo.errors import WeightsError, nearest
from vczoo.io.tensor_file import Slot, layout_faults, layout_of, read_layout, some_names
from vczoo.registry.entry import Weights
from vczoo.registry.origin import REVISION

__all__ = [
    "announce_download",
    "choose_weights",
    "digest",
    "fingerprint",
    "fingerprint_of",
    "is_weights_file",
    "load_strictly",
    "offline",
    "put_tensors",
    "read_tensors",
    "unavailable",
]

MEGABYTE = 1_000_000
REPOSITORY = re.compile(r"([\w.-]+/)?[\w.-]+")  # of the Hub; some old ones have no owner


def offline() -> bool:
    """Whether `HF_HUB_OFFLINE` forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def is_weights_file(weights: str) -> bool:
    """Whether the option `weights` names a file rather than registered weights."""
    return weights.endswith(".safetensors") or "/" in weights or os.sep in weights


def choose_weights(entry_name: str, weights: str, known: Iterable[Weights]) -> Weights:
    """Find registered weights by name, or by NAME@COMMIT of their Hub repository; "pretrained" is the first.

    A commit takes the place of the one that is registered. A registered checksum stays: another commit may hold the
    same file, and no other file passes for it.

    Raises:
        WeightsError: no such name, and the message lists the valid ones; or the commit is none, or the weights come
            from elsewhere.
    """
    by_name = {candidate.name: candidate for candidate in known}
    aliases = {"pretrained": next(iter(by_name.values()))} if by_name else {}
    if found := (aliases | by_name).get(weights):
        return found
    name, at, revision = weights.partition("@")
    if at and (found := (aliases | by_name).get(name)):
        return _at_revision(entry_name, name, found, revision)
    valid = ["random", "a path to a .safetensors file", *aliases, *by_name]
    commit = ", or NAME@COMMIT" if any(REPOSITORY.fullmatch(found.source) for found in by_name.values()) else ""
    raise WeightsError(
        f"{entry_name}: weights are {weights!r}, expected one of: {', '.join(valid)}{commit}" + nearest(name, valid)
    )


def _at_revision(entry_name: str, name: str, weights: Weights, revision: str) -> Weights:
    if not REPOSITORY.fullmatch(weights.source):
        raise WeightsError(
            f"{entry_name}: weights {name}@{revision}: {weights.source} is no repository of the Hugging Face Hub, and "
            f"has no revisions; write weights: {name}"
        )
    if not REVISION.fullmatch(revision):
        raise WeightsError(
            f"{entry_name}: weights {name}@{revision}: after the @ a commit of {weights.source} was expected, all 40 "
            f"digits of it in lower case, 0-9 and a-f; got {len(revision)} characters. Its page on the Hub shows it "
            "under History"
        )
    return replace(weights, revision=revision)


def announce_download(entry_name: str, weights: Weights) -> None:
    """Say on standard error what is about to be downloaded, how large it is and from where."""
    sys.stderr.write(f"{entry_name}: downloading weights {weights.name} ({_size(weights)}) from {_place(weights)}\n")


def unavailable(entry_name: str, weights: Weights, cause: BaseException | str, part: str = "backbone") -> WeightsError:
    """The error for weights that cannot be had, with their size, their source and the three ways out.

    Args:
        part: where in a recipe the entry stands.
    """
    return WeightsError(
        f"{entry_name}: pretrained weights {weights.name} ({_size(weights)}, {_place(weights)}) are not on "
        f"this machine and cannot be downloaded ({cause}). Three ways out:\n"
        "  1. connect to the network, leave HF_HUB_OFFLINE unset, and run this once: they stay in the cache;\n"
        f"  2. bring them as a file: {part}.weights=PATH.safetensors;\n"
        f"  3. do without: {part}.weights=random (the {part} then has learnt nothing)."
    )


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


def _size(weights: Weights) -> str:
    return f"{weights.size_bytes / MEGABYTE:.0f} MB" if weights.size_bytes else "size not known"


def _place(weights: Weights) -> str:
    if "://" in weights.source:
        return weights.source
    revision = f"@{weights.revision}" if weights.revision else ""
    return f"{weights.source}{revision} on the Hugging Face Hub"
