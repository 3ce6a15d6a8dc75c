"""torchvision's VGG and ResNet networks without a classifier, cut into stages.

A VGG has the stages block1 to block5, each up to and including a max-pool. A ResNet has stem and layer1 to layer4.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vczoo import Stage
from vczoo_torchvision.library import get_model

__all__ = ["cut", "headless"]


def headless(model: str) -> nn.Module:
    """A network with random weights and no classifier (a VGG's has 124 million parameters that nothing here uses)."""
    # A VGG draws its weights only if it is asked to. On the meta device, that would import torch._dynamo.
    options = {"init_weights": False} if model.startswith("vgg") else {}
    with torch.device("meta"):
        network: nn.Module = get_model(model, weights=None, **options)
    if hasattr(network, "features"):
        network.classifier = nn.Identity()
    else:
        network.fc = nn.Identity()
    network.to_empty(device="cpu")
    for module in network.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
        if isinstance(module, nn.Conv2d):  # as torchvision's constructors do; torchvision has no function for it
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def cut(network: Any) -> tuple[Stage, ...]:
    """Cut a VGG or a ResNet into its five stages."""
    if not hasattr(network, "features"):
        stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        return (Stage("stem", stem), *(Stage(f"layer{i}", getattr(network, f"layer{i}")) for i in range(1, 5)))
    blocks: list[list[nn.Module]] = [[]]
    for module in network.features:
        blocks[-1].append(module)
        if isinstance(module, nn.MaxPool2d):
            blocks.append([])
    return tuple(Stage(f"block{i}", nn.Sequential(*modules)) for i, modules in enumerate(blocks[:-1], start=1))
