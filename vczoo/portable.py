"""A recipe in; what in it is of one machine alone out, and the recipe as another machine can build it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vczoo.model import Model
from vczoo.recipe import Part, Recipe
from vczoo.weights import is_weights_file

__all__ = ["foreign_faults", "pinned"]

_PINNED_REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*@[0-9a-f]{40}", re.ASCII)
_PLACE = re.compile(r"[/\\]|^[.~]|^[A-Za-z]:|\.(safetensors|bin|pth|pt|ckpt|onnx|npz|ya?ml|json)$", re.ASCII)


def foreign_faults(recipe: Recipe) -> list[str]:
    """What would make another machine look at files of its own: each text among the options that may be a path.

    `owner/name@<full commit>` is none: it is a Hub repository that nobody can change.
    """
    return [
        f"{place}: {value!r} may be a path; registered weights, or owner/name@<full commit>, mean the same everywhere"
        for place, value in _texts(recipe)
        if _PLACE.search(value) and not _PINNED_REPOSITORY.fullmatch(value)
    ]


def pinned(recipe: Recipe, model: Model, *, whole: bool) -> Recipe:
    """The recipe with each part's weights named by their full commit, where the part knows it.

    Args:
        model: that was built from it.
        whole: whether the run will hold every tensor itself: what a file gave is then no longer asked for. It always
            holds those of a vocoder that came from a file.
    """
    changed: dict[str, Part] = {}
    for place in ("backbone", "vocoder"):
        part: Part | None = getattr(recipe, place)
        if part is None:
            continue
        origin = getattr(getattr(model, place), "origin", None)
        options = dict(origin.pins) if origin else {}
        if (whole or place == "vocoder") and is_weights_file(str(part.options.get("weights", ""))):
            options["weights"] = "random"
        if options:
            changed[place] = part.model_copy(update=options)
    return recipe.model_copy(update=changed)


def _texts(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Every text among the options of a recipe's parts, with its place."""
    parts = [("backbone", recipe.backbone), ("freezing", recipe.freezing), ("vocoder", recipe.vocoder)]
    for place, part in [*parts, *((f"heads.{name}", head) for name, head in recipe.heads.items())]:
        for name, value in (part.options if part else {}).items():
            yield from ((f"{place}.{name}", text) for text in _flat(value))


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _flat(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _flat(item)
