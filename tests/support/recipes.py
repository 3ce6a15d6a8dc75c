"""Small recipes for tests that build parts, and for tests that learn from a teacher."""

from __future__ import annotations

from typing import Any

from vczoo.io.plain_yaml import merge
from vczoo.models.recipe import Recipe
from vczoo.models.resolve import nest

__all__ = ["BASE", "TAUGHT", "recipe"]

BASE: dict[str, Any] = {
    "name": "plain",
    "summary": "small",
    "backbone": {"use": "mel-conv", "width": 8, "blocks": 1},
    "freezing": {"use": "partial", "trainable_stages": 1},
    "heads": {
        "speaker": {"use": "speaker-classifier", "hidden": [8]},
        "voice": {"use": "mel-decoder", "width": 8, "blocks": 1},
    },
    "vocoder": {"use": "griffin-lim"},
}

TAUGHT = """
summary: A small backbone that learns from a random one
backbone: {use: content-conv, width: 16, blocks: 1, channels: 12}
freezing: {use: none}
heads:
  distil: {use: distil, channels: 6}
teacher: {use: mel-conv, weights: random, width: 6, blocks: 1}
training: {epochs: 4, batch_size: 8, crop_seconds: 0.6, learning_rate: 0.01, backbone_rate: 1.0}
"""


def recipe(**overrides: Any) -> Recipe:
    """`BASE` with overrides; `__` in a name stands for a dot."""
    return Recipe.parse(merge(BASE, nest({key.replace("__", "."): value for key, value in overrides.items()})))
