"""torchvision's VGG and ResNet as backbones: names and metadata. Neither torch nor torchvision is imported here."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import vczoo

__all__ = ["MODELS", "vczoo_entries", "weights_of"]

vczoo_api = "1"

PAPERS = {"vgg": "1409.1556", "resnet": "1512.03385"}
MODELS = (
    *(f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn")),
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
)
# torchvision publishes its weights under its own license, except those that it took from amdegroot/ssd.pytorch,
# for which it states no license.
LICENSE = "BSD-3-Clause"
FOREIGN = ("IMAGENET1K_FEATURES",)


@cache
def _table() -> dict[str, tuple[vczoo.Weights, ...]]:
    """The weights of each model, read from `weights.json`."""
    table = json.loads(Path(__file__).with_name("weights.json").read_text(encoding="utf-8"))
    return {
        model: tuple(
            vczoo.Weights(licence="unknown" if line["name"] in FOREIGN else LICENSE, **line) for line in entries
        )
        for model, entries in table.items()
    }


def weights_of(model: str) -> tuple[vczoo.Weights, ...]:
    """The registered weights of a model, torchvision's default first."""
    return _table()[model]


@vczoo.hookimpl
def vczoo_entries() -> list[vczoo.Entry]:
    """One backbone for each VGG and ResNet."""
    return [
        vczoo.Entry(
            name=f"torchvision/{model}",
            kind="backbone",
            factory="vczoo_torchvision.build:build",
            summary=f"torchvision's {model} on log-mels, 5 stages",
            licence="BSD-3-Clause",
            paper="arXiv:" + PAPERS[model.rstrip("_bn0123456789")],
            source="https://github.com/pytorch/vision",
            arguments={"model": model},
            weights=weights_of(model),
            exports=True,
        )
        for model in MODELS
    ]
