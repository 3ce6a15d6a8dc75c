"""Checkpoints with transformers' tensor names, loaded strictly. Only the tensors that the module has are read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from vczoo import Origin, WeightsError, load_strictly, read_pickled_tensors

__all__ = ["Checkpoint", "load_checkpoint"]

# Tensors next to an encoder in its checkpoint: masks and quantizers of pretraining, heads, adapters.
IGNORED = (
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
# Published checkpoints have the older names of torch's weight norm; the modules have the newer ones.
OLD_NORM = {
    ".weight_g": ".parametrizations.weight.original0",
    ".weight_v": ".parametrizations.weight.original1",
}


@dataclass(frozen=True)
class Checkpoint:
    """The files that hold the tensors of a model.

    Attributes:
        where: The name of the source, for error messages.
        origin: Where the files came from.
        files: One safetensors file or its shards; or one pytorch_model.bin.
        sha256: The checksum of that pytorch_model.bin; empty for safetensors.
    """

    where: str
    origin: Origin
    files: tuple[Path, ...]
    sha256: str = ""


def load_checkpoint(module: nn.Module, checkpoint: Checkpoint, *, landmark: str, num_layers: int = 0) -> None:
    """Load a checkpoint into a module, which may be a part of the saved model.

    A pytorch_model.bin is checked against its checksum and then read with `weights_only`, which runs no code from it.

    Args:
        module: A module of transformers.
        checkpoint: A checkpoint of the module, or of a model that contains it.
        landmark: The name of a tensor of the module. It shows which prefix the names have in the checkpoint.
        num_layers: The number of layers of the module. Later layers in the checkpoint are ignored.

    Raises:
        WeightsError: A file is damaged; or a tensor is missing, unexpected, has another shape, or holds NaN.
    """
    where = checkpoint.where
    with ExitStack() as stack:
        opened: dict[str, Any] = {}
        for path in checkpoint.files:
            if checkpoint.sha256:
                opened |= read_pickled_tensors(path, checkpoint.sha256)
                continue
            try:
                file = stack.enter_context(safe_open(path, framework="pt"))
            except (SafetensorError, OSError) as error:
                raise WeightsError(f"{path}: not a safetensors file ({error}); download or export it again") from error
            opened |= dict.fromkeys(file.keys(), file)
        sources = _sources(opened, module, landmark, num_layers, where)
        tensors = {
            name: opened[source] if isinstance(opened[source], Tensor) else opened[source].get_tensor(source)
            for name, source in sources.items()
        }
        broken = [name for name, value in tensors.items() if value.is_floating_point() and not _finite(value)]
        if broken:
            raise WeightsError(f"{where}: NaN or infinity in {', '.join(broken[:5])}; the file is damaged")
        load_strictly(module, tensors, where=where)


def _finite(value: Tensor) -> bool:
    low, high = value.aminmax() if value.numel() else (value.sum(), value.sum())  # NaN passes through both
    return math.isfinite(low.item()) and math.isfinite(high.item())


def _sources(
    names: Mapping[str, object], module: nn.Module, landmark: str, num_layers: int, where: str
) -> dict[str, str]:
    """The names in the checkpoint of the tensors to load, by the module's names, without those in `IGNORED`."""
    prefixes = sorted((name.removesuffix(landmark) for name in names if name.endswith(landmark)), key=len)
    if not prefixes:
        raise WeightsError(f"{where}: no tensor is called …{landmark}; is it from another model?")
    own = module.state_dict().keys()
    return {
        name: source
        for source in names
        if source.startswith(prefixes[0])
        for name in [_own_name(source.removeprefix(prefixes[0]))]
        if name in own or not (name.startswith(IGNORED) or _layer(name) >= num_layers)
    }


def _own_name(name: str) -> str:
    for old, new in OLD_NORM.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _layer(name: str) -> int:
    """The number of the layer that a tensor belongs to, or -1."""
    match = LAYER.search(name)
    return int(match[1]) if match else -1
