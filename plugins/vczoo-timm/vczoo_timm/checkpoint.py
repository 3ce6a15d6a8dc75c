"""timm's weights: a Hub repository in, a safetensors file out; its tensors in, a strictly loaded network out."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import timm
import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from timm.models import PretrainedCfg
from torch import Tensor, nn

from vczoo import Weights, announce_download, load_strictly, offline, unavailable

__all__ = ["config_of", "fetch", "load_checkpoint"]

FILE = "model.safetensors"  # timm's repositories hold a pickle beside it, which is never asked for
FILTERS = ("checkpoint_filter_fn", "_filter_fn", "pretrained_filter_fn", "_filter_torchvision_pretrained")
WRAPPERS = ("model", "body")  # what features_only calls the model inside it
# SigLIP's files keep the attention pool even for the variants that pool without it.
NEVER_USED = ("attn_pool.",)


def fetch(entry_name: str, weights: Weights) -> Path:
    """The file of registered weights, from the Hub's cache or the Hub, at their revision where they have one.

    Raises:
        WeightsError: it is not in the cache, and offline or the Hub does not give it.
    """
    revision = weights.revision or None
    cached = try_to_load_from_cache(weights.source, FILE, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    if offline():
        raise unavailable(entry_name, weights, "HF_HUB_OFFLINE is set")
    announce_download(entry_name, weights)
    try:
        return Path(hf_hub_download(weights.source, FILE, revision=revision))
    except Exception as error:  # the Hub's client raises its own, its transport's and the system's errors
        raise unavailable(entry_name, weights, error) from error


def config_of(name: str) -> PretrainedCfg:
    """What timm records of MODEL or MODEL.TAG: repository, licence, normalisation."""
    config = timm.get_pretrained_cfg(name)
    return config if config is not None else PretrainedCfg()


def load_checkpoint(network: nn.Module, model: str, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Load a checkpoint in timm's naming, of the whole model or without its head, into a network.

    What the whole model has and the network has not (classifier, last convolution) is let go; BatchNorm's
    counters may be missing; anything else must fit.

    Raises:
        WeightsError: a tensor is missing, not expected, or of another shape.
    """
    with torch.device("meta"):
        whole = timm.create_model(model)
    names = whole.state_dict().keys()
    theirs = {name: whole_name(name, names) for name in network.state_dict()}
    needed = {name for name in theirs.values() if not name.endswith("num_batches_tracked")}
    if not (needed <= tensors.keys() <= names):
        tensors = _filtered(dict(tensors), model, whole)
    taken = set(theirs.values())
    renamed = {name: tensors[their] for name, their in theirs.items() if their in tensors}
    load_strictly(
        network,
        renamed | {name: tensor for name, tensor in tensors.items() if name not in taken},
        where=where,
        unused=(*(names - taken), *NEVER_USED),
        may_miss=("num_batches_tracked",),
    )


def whole_name(name: str, names: Collection[str]) -> str:
    """What the whole model calls a tensor that `features_only` may have renamed: `stages_0.x` was `stages.0.x`."""
    first, _, rest = name.partition(".")
    wrapped = [rest] if first in WRAPPERS else []
    flattened = [f"{first[:at]}.{first[at + 1 :]}.{rest}" for at, letter in enumerate(first) if letter == "_"]
    return next((candidate for candidate in (name, *wrapped, *flattened) if candidate in names), name)


def _filtered(tensors: dict[str, Tensor], model: str, whole: nn.Module) -> Mapping[str, Tensor]:
    """The tensors after the architecture's own filter, which knows the names of other releases."""
    module = sys.modules[timm.model_entrypoint(model).__module__]
    convert = next((getattr(module, name) for name in FILTERS if hasattr(module, name)), None)
    if convert is None:
        return tensors
    for arguments in ((tensors, whole), (tensors,)):  # some filters take the tensors alone
        try:
            found: Mapping[str, Tensor] = convert(*arguments)
        except Exception:  # not a checkpoint that the filter knows: what does not fit is named by the caller
            continue
        return found
    return tensors
