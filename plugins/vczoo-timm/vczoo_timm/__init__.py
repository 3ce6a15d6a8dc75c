"""timm's image models as backbones: names and metadata, from `models.json`. Neither torch nor timm is imported here."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import vczoo

__all__ = ["generated_with", "models", "vczoo_entries", "weights_of"]

vczoo_api = "1"

BYTES_PER_PARAMETER = 4  # almost all of timm's files are float32; only the Hub knows their exact sizes


@cache
def _file() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("models.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def generated_with() -> str:
    """The version of timm that `models.json` was generated with."""
    return str(_file()["timm"])


def models() -> dict[str, dict[str, Any]]:
    """Each model's entry in `models.json`: its staging, stages, parameters, settings and weights."""
    return _file()["models"]  # type: ignore[no-any-return]


def weights_of(model: str) -> tuple[vczoo.Weights, ...]:
    """The registered weights of a model, timm's default first."""
    line = models()[model]
    registered = []
    for tag, terms in line["weights"].items():
        license_id, repository = terms if isinstance(terms, list) else (terms, f"timm/{model}.{tag}")
        registered.append(vczoo.Weights(tag, repository, license_id, line["parameters"] * BYTES_PER_PARAMETER))
    return tuple(registered)


@vczoo.hookimpl
def vczoo_entries() -> list[vczoo.Entry]:
    """One backbone for each model that runs on a log-mel image."""
    entries = []
    for model, line in models().items():
        coarse = "time_stride" in line
        note = ", 320 ms per frame" if coarse else ""
        entries.append(
            vczoo.Entry(
                name=f"timm/{model}",
                kind="backbone",
                factory="vczoo_timm.build:" + ("build_coarse" if coarse else "build"),
                summary=f"timm's {model} on log-mels, {line['stages']} stages{note}",
                licence="Apache-2.0",
                source="https://github.com/huggingface/pytorch-image-models",
                arguments={"model": model},
                weights=weights_of(model),
            )
        )
    return entries
