"""timm networks cut into stages that run one after the other, from an image to a feature map.

There are four stagings; `vczoo_timm.generate` chooses one for each model:

- layers: timm's `FeatureListNet`, cut after each layer whose output it returns;
- blocks: EfficientNet and MobileNetV3, cut into the stem and each group of blocks;
- tokens: VisionTransformer and Eva, cut into the embedding and four groups of blocks;
- trunk: anything else that timm's `features_only` can run, as one stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.models import FeatureDictNet
from torch import Tensor, nn

from vczoo import Stage
from vczoo_timm.vision_transformer import choose_stages, cut_tokens

__all__ = ["STAGINGS", "create", "cut", "staging_of"]

STAGINGS = ("layers", "blocks", "tokens", "trunk")
IMAGE_WIDTH = 128  # mel frames of the probe, a multiple of every network's stride in time
TOKEN_MODELS = ("VisionTransformer", "VisionTransformerDistilled", "Eva")


class PadRows(nn.Module):
    """Repeats the highest band until the image's height is a multiple of `multiple`."""

    def __init__(self, multiple: int) -> None:
        super().__init__()
        self.multiple = multiple

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, F, T) -> (B, 3, F', T)."""
        return nn.functional.pad(image, (0, 0, 0, -image.shape[2] % self.multiple), mode="replicate")


class Trunk(nn.Module):
    """A whole `features_only` network that returns its last feature map."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, F, T) -> the last feature map, in the layout of the network."""
        features: list[Tensor] = self.network(image)
        return features[-1]


class ChannelsFirst(nn.Module):
    """(B, F, T, C) -> (B, C, F, T), for networks that keep channels last."""

    def forward(self, activation: Tensor) -> Tensor:
        """Move channels to the front."""
        return activation.permute(0, 3, 1, 2)


class First(nn.Module):
    """The first of several outputs, as timm's FeatureListNet returns it."""

    def forward(self, activation: tuple[Tensor, ...]) -> Tensor:
        """Several tensors -> the first."""
        return activation[0]


def staging_of(network: nn.Module) -> str:
    """The staging of a network that `timm.create_model(…, features_only=True)` returned."""
    if isinstance(network, FeatureDictNet):
        return "layers"
    if type(network).__name__ in ("EfficientNetFeatures", "MobileNetV3Features"):
        return "blocks"
    inner = getattr(network, "model", None)
    return "tokens" if type(inner).__name__ in TOKEN_MODELS else "trunk"


def create(model: str, staging: str, settings: Mapping[str, Any]) -> nn.Module:
    """Build a timm network with random weights and without a classifier.

    Args:
        model: The name that timm gives the model, without a tag.
        staging: One of `STAGINGS`.
        settings: Arguments for timm that let the network read images of any width.
    """
    if staging == "tokens":
        # The whole model, since features_only would drop the final norm.
        network: nn.Module = timm.create_model(model, num_classes=0, **settings)
        return network
    features: nn.Module = timm.create_model(model, features_only=True, **settings)
    return features


def cut(
    network: nn.Module,
    staging: str,
    *,
    num_mels: int,
    out_stage: int | None = None,
    row_multiple: int = 1,
) -> tuple[Stage, ...]:
    """Cut a network into stages that pass one activation on. Parameters after `out_stage` are dropped.

    Args:
        network: A network from `create`.
        staging: One of `STAGINGS`.
        num_mels: The height of the image.
        out_stage: The number of stages to keep, counted from the input; None keeps all.
        row_multiple: The height is padded to a multiple of this, for networks that cannot run otherwise.

    Raises:
        ContractError: out_stage is out of range.
    """
    if staging == "tokens":
        return cut_tokens(network, num_mels=num_mels, out_stage=out_stage)
    if staging == "trunk":
        stages = [Stage("trunk", Trunk(network))]
    else:
        stages = _layers(network) if staging == "layers" else _blocks(network)
    if row_multiple > 1:
        stages[0] = Stage(stages[0].name, nn.Sequential(PadRows(row_multiple), stages[0].module))
    stages = _merge(stages, network, num_mels)
    stages = stages[: choose_stages(len(stages), out_stage)]
    if str(getattr(network, "output_fmt", "")).endswith("NHWC"):
        name, module = stages[-1]
        stages[-1] = Stage(name, nn.Sequential(module, ChannelsFirst()))
    return tuple(stages)


def _layers(network: Any) -> list[Stage]:
    """The modules of a FeatureListNet, in order, cut after each one whose output it returns."""
    stages: list[Stage] = []
    modules: list[nn.Module] = []
    for name, module in network.named_children():
        modules.append(module)
        if name in network.return_layers:
            stages.append(Stage(name, modules[0] if len(modules) == 1 else nn.Sequential(*modules)))
            modules = []
    return stages


def _blocks(network: Any) -> list[Stage]:
    """The stem and groups of blocks of EfficientNet or MobileNetV3, up to the last that features_only returns."""
    stem = [network.conv_stem, network.bn1]
    if hasattr(network, "act1"):
        stem.append(network.act1)
    last = max(network._stage_out_idx)
    groups = list(network.blocks)[:last]
    return [
        Stage("stem", nn.Sequential(*stem)),
        *(Stage(f"blocks{i}", group) for i, group in enumerate(groups, start=1)),
    ]


@torch.no_grad()
def _merge(parts: list[Stage], network: nn.Module, num_mels: int) -> list[Stage]:
    """Join parts that return several tensors to the next part, so that stages pass one tensor on."""
    training = network.training
    network.eval()
    stages: list[Stage] = []
    pending: list[nn.Module] = []
    device = next(network.parameters()).device
    activation: Any = torch.zeros(1, 3, num_mels, IMAGE_WIDTH, device=device)
    for name, module in parts:
        pending.append(module)
        activation = module(activation)
        if isinstance(activation, Tensor):
            stages.append(Stage(name, pending[0] if len(pending) == 1 else nn.Sequential(*pending)))
            pending = []
    if pending:
        stages.append(Stage(parts[-1].name, nn.Sequential(*pending, First())))
    network.train(training)
    return stages
