"""timm's weights, loaded strictly into a network."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping

import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn

from vczoo import load_strictly

__all__ = ["config_of", "load_checkpoint"]

FILTERS = ("checkpoint_filter_fn", "_filter_fn", "pretrained_filter_fn", "_filter_torchvision_pretrained")
WRAPPERS = ("model", "body")  # the names that features_only gives the model inside it
# SigLIP's files hold an attention pool even for the variants that do not use it.
NEVER_USED = ("attn_pool.",)


def config_of(name: str) -> PretrainedCfg:
    """timm's record of MODEL or MODEL.TAG: repository, license and normalization."""
    config = timm.get_pretrained_cfg(name)
    return config if config is not None else PretrainedCfg()


def load_checkpoint(network: nn.Module, model: str, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Load a checkpoint with timm's tensor names, of the whole model or without its head, into a network.

    Tensors that only the whole model has (the classifier, the last convolution) are ignored, and the counters of
    BatchNorm may be missing. Everything else must fit.

    Args:
        network: A network from `vczoo_timm.network.create`.
        model: The name that timm gives the model.
        tensors: Tensors by timm's names.
        where: The name of the source, for error messages.

    Raises:
        WeightsError: A tensor is missing, unexpected, or has another shape.
    """
    with torch.device("meta"):
        whole = timm.create_model(model)
    names = whole.state_dict().keys()
    timm_names = {name: whole_name(name, names) for name in network.state_dict()}
    needed = {name for name in timm_names.values() if not name.endswith("num_batches_tracked")}
    if not (needed <= tensors.keys() <= names):
        tensors = _filtered(dict(tensors), model, whole)
    loaded = set(timm_names.values())
    renamed = {name: tensors[timm_name] for name, timm_name in timm_names.items() if timm_name in tensors}
    load_strictly(
        network,
        renamed | {name: tensor for name, tensor in tensors.items() if name not in loaded},
        where=where,
        unused=(*(names - loaded), *NEVER_USED),
        may_miss=("num_batches_tracked",),
    )


def whole_name(name: str, names: Collection[str]) -> str:
    """The whole model's name of a tensor that `features_only` may have renamed (`stages_0.x` was `stages.0.x`)."""
    first, _, rest = name.partition(".")
    wrapped = [rest] if first in WRAPPERS else []
    flattened = [f"{first[:at]}.{first[at + 1 :]}.{rest}" for at, letter in enumerate(first) if letter == "_"]
    return next((candidate for candidate in (name, *wrapped, *flattened) if candidate in names), name)


def _filtered(tensors: dict[str, Tensor], model: str, whole: nn.Module) -> Mapping[str, Tensor]:
    """Apply the architecture's own filter in timm, which translates the names of other releases."""
    module = sys.modules[timm.model_entrypoint(model).__module__]
    convert = next((getattr(module, name) for name in FILTERS if hasattr(module, name)), None)
    if convert is None:
        return tensors
    for arguments in ((tensors, whole), (tensors,)):  # some filters take only the tensors
        try:
            renamed: Mapping[str, Tensor] = convert(*arguments)
        except Exception:  # the filter does not know this checkpoint; the caller reports the tensors that do not fit
            continue
        return renamed
    return tensors
