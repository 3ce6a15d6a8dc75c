"""Builds a `VisionBackbone` from a timm model's name and a recipe's options."""

from __future__ import annotations

from vczoo import ContractError, VisionBackbone, read_tensors, weights_option
from vczoo_timm import models, weights_of
from vczoo_timm.meta_init import compute_buffers, init_on_meta, run_on_meta
from vczoo_timm.network import create, cut
from vczoo_timm.weights import config_of, load_checkpoint

__all__ = ["build", "build_coarse"]


def build(
    model: str,
    *,
    weights: str = "pretrained",
    out_stage: int | None = None,
    time_stride: int = 2,
    num_mels: int = 80,
) -> VisionBackbone:
    """Build a timm model as a backbone.

    Args:
        model: The name that timm gives the model, without a tag.
        weights: `pretrained` (timm's default) or one of timm's tags, each optionally followed by @COMMIT of its
            repository; `random`; or the path of a .safetensors file with timm's tensor names, with or without the
            classifier.
        out_stage: The number of stages to keep, counted from the input; None keeps all.
        time_stride: Mel frames (10 ms each) per output frame: 1, 2, 4, 8, 16 or 32.
        num_mels: The number of mel bands, which is the height of the image.

    Raises:
        ContractError: An option is out of range for this network.
        WeightsError: The weights do not exist, are unavailable, or do not fit the network.
    """
    name, line = f"timm/{model}", models()[model]
    # timm's repositories also hold a pickle, which is never downloaded.
    file = weights_option(name, weights, weights_of(model), file="model.safetensors")
    with init_on_meta():
        network = create(model, line["staging"], line.get("settings", {}))
    compute_buffers(network)
    if file:
        load_checkpoint(network, model, read_tensors(file.path), where=file.where)
    try:
        with run_on_meta(network):
            stages = cut(
                network,
                line["staging"],
                num_mels=num_mels,
                out_stage=out_stage,
                row_multiple=line.get("row_multiple", 1),
            )
    except (RuntimeError, AssertionError) as error:  # timm raises these for an image that a model cannot read
        raise ContractError(f"{name} cannot read an image of {num_mels} mels ({error})") from error
    # A file does not say how its images were normalized, so the normalization of the default weights is used.
    trained = config_of(f"{model}.{file.registered.name}" if file and file.registered else model)
    backbone = VisionBackbone(
        stages, time_stride=time_stride, num_mels=num_mels, mean=trained.mean, deviation=trained.std
    )
    backbone.origin = file.origin if file else None
    return backbone


def build_coarse(
    model: str,
    *,
    weights: str = "pretrained",
    out_stage: int | None = None,
    time_stride: int = 32,
    num_mels: int = 80,
) -> VisionBackbone:
    """Like `build`, for models whose stride in time cannot be reduced: 320 ms per frame by default."""
    return build(model, weights=weights, out_stage=out_stage, time_stride=time_stride, num_mels=num_mels)
