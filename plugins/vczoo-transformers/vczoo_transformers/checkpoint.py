"""Files of tensors in transformers' naming in; a strictly loaded module out. Only what the module has is read."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from vczoo import Origin, WeightsError, load_strictly

__all__ = ["Checkpoint", "load_checkpoint"]

# What stands beside an encoder in a checkpoint of it: masks and quantisers of pretraining, heads, adapters.
BESIDE = (
    "masked_spec_embed",
    "quantizer.",
    "project_q.",
    "project_hid.",
    "lm_head.",
    "ctc_proj.",
    "final_proj.",
    "label_embs_concat",
    "classifier.",
    "projector.",
    "adapter.",
    "intermediate_ffn.",
)
LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
# torch's weight norm under its older names, which published checkpoints have, and under those of the module.
OLD_NORM = {
    ".weight_g": ".parametrizations.weight.original0",
    ".weight_v": ".parametrizations.weight.original1",
}


@dataclass(frozen=True)
class Checkpoint:
    """Where the tensors of a model are.

    Attributes:
        where: what to call them in an error.
        origin: where they came from.
        files: of safetensors, one or shards; or one pytorch_model.bin.
        sha256: of that pytorch_model.bin; empty for safetensors.
    """

    where: str
    origin: Origin
    files: tuple[Path, ...]
    sha256: str = ""


def load_checkpoint(module: nn.Module, checkpoint: Checkpoint, *, landmark: str, num_layers: int = 0) -> None:
    """Load a checkpoint into a module, which may be a part of what was saved.

    A pytorch_model.bin is checked against its checksum, then read with `weights_only`, which runs no code of it.

    Args:
        module: transformers' module.
        checkpoint: of it, or of a model that it is a part of.
        landmark: the name of a tensor of the module that tells what stands before its names in the checkpoint.
        num_layers: of the module; those after them are let go.

    Raises:
        WeightsError: a file is damaged; a tensor is missing, not expected, of another shape, or holds NaN.
    """
    where = checkpoint.where
    with ExitStack() as stack:
        opened: dict[str, Any] = {}
        for path in checkpoint.files:
            if checkpoint.sha256:
                opened |= _read_pickle(path, checkpoint.sha256)
                continue
            try:
                file = stack.enter_context(safe_open(path, framework="pt"))
            except (SafetensorError, OSError) as error:
                raise WeightsError(f"{path}: not a safetensors file ({error}); download or export it again") from error
            opened |= dict.fromkeys(file.keys(), file)
        sources = _sources(opened, module, landmark, num_layers, where)
        found = {name: opened[source] for name, source in sources.items()}
        tensors = {name: at if isinstance(at, Tensor) else at.get_tensor(sources[name]) for name, at in found.items()}
        broken = [name for name, value in tensors.items() if value.is_floating_point() and not _finite(value)]
        if broken:
            raise WeightsError(f"{where}: NaN or infinity in {', '.join(broken[:5])}; the file is damaged")
        load_strictly(module, tensors, where=where)


def _finite(value: Tensor) -> bool:
    low, high = value.aminmax() if value.numel() else (value.sum(), value.sum())  # NaN passes through both
    return math.isfinite(low.item()) and math.isfinite(high.item())


def _read_pickle(path: Path, sha256: str) -> dict[str, Tensor]:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise WeightsError(f"{path}: its SHA-256 is {found}, expected {sha256}; delete it and download it again")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, OSError, EOFError) as error:
        raise WeightsError(f"{path}: not a file of tensors alone ({error})") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise WeightsError(f"{path}: a mapping of names to tensors was expected, got a {type(tensors).__name__}")
    return tensors


def _sources(
    names: Mapping[str, object], module: nn.Module, landmark: str, num_layers: int, where: str
) -> dict[str, str]:
    """What is to be loaded, by the module's names; what is known to stand beside an encoder is left out."""
    prefixes = sorted((name.removesuffix(landmark) for name in names if name.endswith(landmark)), key=len)
    if not prefixes:
        raise WeightsError(f"{where}: no tensor is called …{landmark}; is it from another model?")
    own = module.state_dict().keys()
    return {
        name: source
        for source in names
        if source.startswith(prefixes[0])
        for name in [_own_name(source.removeprefix(prefixes[0]))]
        if name in own or not (name.startswith(BESIDE) or _layer(name) >= num_layers)
    }


def _own_name(name: str) -> str:
    for old, new in OLD_NORM.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _layer(name: str) -> int:
    """The number of the layer that a tensor belongs to, or -1."""
    found = LAYER.search(name)
    return int(found[1]) if found else -1
