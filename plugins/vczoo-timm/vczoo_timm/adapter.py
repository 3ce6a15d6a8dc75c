"""A timm model's name and a recipe's options in, a `VisionBackbone` out."""

from __future__ import annotations

from vczoo import (
    ContractError,
    Origin,
    VisionBackbone,
    choose_weights,
    is_weights_file,
    read_tensors,
)
from vczoo_timm import models, weights_of
from vczoo_timm.checkpoint import config_of, fetch, load_checkpoint
from vczoo_timm.network import create, cut
from vczoo_timm.outline import on_meta, outlined, settle

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
        model: timm's name, without a tag.
        weights: pretrained (timm's default), one of timm's tags, either with @COMMIT of its repository, random, or
            a path to a .safetensors file in timm's naming, with or without its classifier.
        out_stage: how many stages are kept, counted from the input; None keeps all.
        time_stride: mel frames (10 ms) to one frame; 1, 2, 4, 8, 16 or 32.
        num_mels: bands of the mel, the image's height.

    Raises:
        ContractError: an option is out of this network's range.
        WeightsError: no such weights, or they cannot be had, or they do not fit.
    """
    name, line = f"timm/{model}", models()[model]
    tag, origin = "", None
    if is_weights_file(weights):
        tensors, origin = read_tensors(weights), Origin.of_path(weights)
    elif weights != "random":
        chosen = choose_weights(name, weights, weights_of(model))
        file = fetch(name, chosen)
        tag, weights = chosen.name, str(file)
        tensors, origin = read_tensors(file), Origin.registered(chosen, [file])
    with outlined():
        network = create(model, line["staging"], line.get("settings", {}))
    settle(network)
    if weights != "random":
        load_checkpoint(network, model, tensors, where=weights)
    try:
        with on_meta(network):
            stages = cut(
                network,
                line["staging"],
                num_mels=num_mels,
                out_stage=out_stage,
                row_multiple=line.get("row_multiple", 1),
            )
    except (RuntimeError, AssertionError) as error:  # what timm raises for an image that a model cannot read
        raise ContractError(f"{name} cannot read an image of {num_mels} mels ({error})") from error
    # A file does not say how its images were normalised: then it is as for the model's default weights.
    trained = config_of(f"{model}.{tag}" if tag else model)
    backbone = VisionBackbone(
        stages, time_stride=time_stride, num_mels=num_mels, mean=trained.mean, deviation=trained.std
    )
    backbone.origin = origin
    return backbone


def build_coarse(
    model: str,
    *,
    weights: str = "pretrained",
    out_stage: int | None = None,
    time_stride: int = 32,
    num_mels: int = 80,
) -> VisionBackbone:
    """As `build`, for models that shrink time by more than convolutions and pools: 320 ms a frame by default."""
    return build(model, weights=weights, out_stage=out_stage, time_stride=time_stride, num_mels=num_mels)
