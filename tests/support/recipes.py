"""A small recipe for tests that build parts."""

from __future__ import annotations

from typing import Any

from vczoo.io.plain_yaml import merge
from vczoo.models.recipe import Recipe
from vczoo.models.resolve import nest

__all__ = ["BASE", "recipe"]

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


def recipe(**overrides: Any) -> Recipe:
    """`BASE` with overrides; `__` in a name stands for a dot."""
    return Recipe.parse(merge(BASE, nest({key.replace("__", "."): value for key, value in overrides.items()})))
