"""Builds a `VisionBackbone` from a torchvision model's name and a recipe's options."""

from __future__ import annotations

from vczoo import ContractError, VisionBackbone, load_strictly, read_tensors, weights_option
from vczoo_torchvision import weights_of
from vczoo_torchvision.library import get_model_weights
from vczoo_torchvision.network import cut, headless
from vczoo_torchvision.weights import HEADS, read_trunk

__all__ = ["build"]


def build(
    model: str,
    *,
    weights: str = "pretrained",
    out_stage: int | None = None,
    time_stride: int = 2,
    num_mels: int = 80,
) -> VisionBackbone:
    """Build a torchvision VGG or ResNet as a backbone.

    Args:
        model: The name that torchvision gives the model, such as vgg16.
        weights: `pretrained` (torchvision's default), a name such as IMAGENET1K_V1, `random`, or the path of a
            .safetensors file with torchvision's tensor names, with or without the classifier.
        out_stage: The number of stages to keep, 1 to 5, counted from the input; None keeps all.
        time_stride: Mel frames (10 ms each) per output frame: 1, 2, 4, 8, 16 or 32.
        num_mels: The number of mel bands, which is the height of the image; 32 or more for all five stages.

    Raises:
        ContractError: An option is out of range for this network.
        WeightsError: The weights do not exist, are unavailable, or do not fit the network.
    """
    transforms = get_model_weights(model).DEFAULT.transforms()
    file = weights_option(f"torchvision/{model}", weights, weights_of(model))
    network = headless(model)
    if file:
        tensors = read_trunk(file.path) if file.registered else read_tensors(file.path)
        load_strictly(network, tensors, where=file.where, unused=HEADS, may_miss=("num_batches_tracked",))
    if file and file.registered:
        # Normalization goes with the weights: IMAGENET1K_FEATURES has its own.
        transforms = get_model_weights(model)[file.registered.name].transforms()
    stages = cut(network)
    if out_stage is not None and not 1 <= out_stage <= len(stages):
        raise ContractError(f"out_stage is the number of stages to keep, 1 to {len(stages)}; got {out_stage}")
    backbone = VisionBackbone(
        stages[:out_stage],
        time_stride=time_stride,
        num_mels=num_mels,
        mean=transforms.mean,
        deviation=transforms.std,
    )
    backbone.origin = file.origin if file else None
    return backbone
