"""A torchvision model's name and a recipe's options in, a `VisionBackbone` out.

Stages of a VGG: block1 to block5, each up to a max-pool. Of a ResNet: stem, layer1 to layer4.
"""

from __future__ import annotations

import zipfile
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from vczoo import (
    ContractError,
    Origin,
    Stage,
    VisionBackbone,
    Weights,
    announce_download,
    choose_weights,
    is_weights_file,
    load_strictly,
    offline,
    read_tensors,
    unavailable,
)
from vczoo_torchvision import weights_of

__all__ = ["build"]

HEADS = ("classifier.", "fc.")


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
        model: torchvision's name, such as vgg16.
        weights: pretrained (torchvision's default), a name such as IMAGENET1K_V1, random, or a path to a
            .safetensors file in torchvision's naming, with or without its classifier.
        out_stage: how many stages are kept, 1 to 5, counted from the input; None keeps all.
        time_stride: mel frames (10 ms) to one frame; 1, 2, 4, 8, 16 or 32.
        num_mels: bands of the mel, the image's height; 32 or more for all five stages.

    Raises:
        ContractError: an option is out of this network's range.
        WeightsError: no such weights, or they cannot be had, or they do not fit.
    """
    name = f"torchvision/{model}"
    transforms = get_model_weights(model).DEFAULT.transforms()
    origin = None
    if is_weights_file(weights):
        tensors, origin = read_tensors(weights), Origin.of_path(weights)
    elif weights != "random":
        chosen = choose_weights(name, weights, weights_of(model))
        # Normalisation goes with the weights: IMAGENET1K_FEATURES has another.
        transforms = get_model_weights(model)[chosen.name].transforms()
        tensors, weights = fetch(name, chosen), chosen.source
        origin = Origin.registered(chosen, [cached(chosen)])
    network = headless(model)
    if weights != "random":
        load_strictly(network, tensors, where=weights, unused=HEADS, may_miss=("num_batches_tracked",))
    stages = cut(network)
    if out_stage is not None and not 1 <= out_stage <= len(stages):
        raise ContractError(
            f"out_stage is how many of the {len(stages)} stages are kept, 1 to {len(stages)}; got {out_stage}"
        )
    backbone = VisionBackbone(
        stages[:out_stage],
        time_stride=time_stride,
        num_mels=num_mels,
        mean=transforms.mean,
        deviation=transforms.std,
    )
    backbone.origin = origin
    return backbone


def headless(model: str) -> nn.Module:
    """A network with random weights and no classifier: a VGG's would be 124 million parameters for nothing."""
    with torch.device("meta"):
        network: nn.Module = get_model(model, weights=None)
    if hasattr(network, "features"):
        network.classifier = nn.Identity()
    else:
        network.fc = nn.Identity()
    network.to_empty(device="cpu")
    for module in network.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
        if isinstance(module, nn.Conv2d):  # as torchvision does; it has no function for it
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def cut(network: Any) -> tuple[Stage, ...]:
    """The five stages of a VGG or a ResNet."""
    if not hasattr(network, "features"):
        stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        return (Stage("stem", stem), *(Stage(f"layer{i}", getattr(network, f"layer{i}")) for i in range(1, 5)))
    blocks: list[list[nn.Module]] = [[]]
    for module in network.features:
        blocks[-1].append(module)
        if isinstance(module, nn.MaxPool2d):
            blocks.append([])
    return tuple(Stage(f"block{i}", nn.Sequential(*modules)) for i, modules in enumerate(blocks[:-1], start=1))


def cached(weights: Weights) -> Path:
    """Where torch keeps the file of an address."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(weights.source).path).name)


def fetch(entry_name: str, weights: Weights) -> dict[str, Tensor]:
    """The tensors of registered weights, from torch's cache or torchvision's server, without the classifier.

    torchvision publishes .pth files alone; they are read with `weights_only`, which runs no code of theirs.

    Raises:
        WeightsError: they are not in the cache, and offline or the server does not give them.
    """
    file = cached(weights)
    try:
        if not file.is_file():
            if offline():
                raise unavailable(entry_name, weights, "HF_HUB_OFFLINE is set")
            announce_download(entry_name, weights)
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(weights.source, str(file), hash_prefix=weights.sha256)
        tensors = read_trunk(file)
    except (OSError, HTTPException, RuntimeError, EOFError, UnpicklingError) as error:  # no server, wrong checksum …
        raise unavailable(entry_name, weights, error) from error
    return tensors


def read_trunk(file: Path) -> dict[str, Tensor]:
    """The tensors of a .pth file but the classifier's, which are nine tenths of a VGG.

    An archive is mapped, so that nothing else of it is read. VGG16 and VGG19 are published as torch wrote files before
    1.6, which can only be read whole: of such a file a copy is kept beside it that is an archive without classifier.

    Raises:
        OSError, RuntimeError, EOFError, UnpicklingError: the file is damaged, or is none of torch's.
    """
    copy = file.with_name(f"{file.stem}-trunk{file.suffix}")
    if zipfile.is_zipfile(file):
        copy = file
    elif not copy.is_file() or copy.stat().st_mtime_ns < file.stat().st_mtime_ns:
        whole: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        trunk = {name: tensor for name, tensor in whole.items() if not name.startswith(HEADS)}
        with suppress(OSError, RuntimeError), TemporaryDirectory(dir=file.parent) as place:  # a disk that is full, say
            torch.save(trunk, Path(place, copy.name))
            Path(place, copy.name).replace(copy)
        return trunk
    tensors: dict[str, Tensor] = torch.load(copy, map_location="cpu", weights_only=True, mmap=True)
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(HEADS)}
