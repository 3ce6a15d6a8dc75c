"""Portability of recipes: checks that another machine can safely build one, and weights pinned by commit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from vczoo.models.model import Model
from vczoo.models.recipe import Part, Recipe
from vczoo.registry.weights import is_weights_file

__all__ = ["foreign_faults", "pinned"]

_PINNED_REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*@[0-9a-f]{40}", re.ASCII)
LARGEST_NUMBER, LONGEST_TEXT, MOST_ITEMS = 10**9, 1000, 1000  # of one option
_PLACE = re.compile(r"[/\\]|^[.~]|^[A-Za-z]:|\.(safetensors|bin|pth|pt|ckpt|onnx|npz|ya?ml|json)$", re.ASCII)


def foreign_faults(recipe: Recipe) -> list[str]:
    """Faults for which another machine should not build a recipe: excessive options, and those that may be paths.

    A path could make that machine read its own files. `owner/name@<full commit>` is not a path, but a Hub repository at
    a commit, whose content cannot change.
    """
    faults = []
    if recipe.start:
        faults.append(
            f"start: {recipe.start[:LONGEST_TEXT]!r}, but a run contains all its tensors and must not have a start"
        )
    if recipe.training.recognizer:
        faults.append("training.recognizer: it is a file, and a run must not name one")
    for place, value in _options(recipe):
        items = list(_flat(value))
        if size := _size_fault(items):
            faults.append(f"{place[:LONGEST_TEXT]}: {size}")
            continue
        faults += [
            f"{place}: {text!r} may be a path, which other machines do not have; use registered weights, or "
            "owner/name@<full commit>"
            for text in items
            if isinstance(text, str) and _may_be_path(place, text)
        ]
    return faults


def pinned(recipe: Recipe, model: Model, *, whole: bool) -> Recipe:
    """Pin each part's weights in a recipe to their full commit, if the part knows it; drop what only training reads.

    Args:
        recipe: The recipe.
        model: The model that was built from the recipe.
        whole: Whether the run will contain every tensor itself. If so, weights files are replaced by `random`. For a
            vocoder they always are, because a run always contains a vocoder that was loaded from a file.
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
    training = recipe.training.model_copy(update={"recognizer": ""})  # only training needs it
    return recipe.model_copy(update={**changed, "training": training})


def _options(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    """Yield the key and value of every option of a recipe's parts."""
    places = ("backbone", "freezing", "vocoder", "pitch", "teacher")
    parts: list[tuple[str, Part | None]] = [(place, getattr(recipe, place)) for place in places]
    parts += [(f"freezing.{name}", part) for name, part in recipe.freezing.parts.items()]
    for place, part in [*parts, *((f"heads.{name}", head) for name, head in recipe.heads.items())]:
        yield from ((f"{place}.{name}", value) for name, value in (part.options if part else {}).items())


def _flat(value: Any) -> Iterator[Any]:
    """Yield the scalars in a value, and the keys of its mappings."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _flat(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _size_fault(items: list[Any]) -> str:
    """Describe why a value with these scalars exceeds the limits of an option, or return ""."""
    if len(items) > MOST_ITEMS:
        return f"contains {len(items)} items; the limit for shared runs is {MOST_ITEMS}"
    for item in items:
        if isinstance(item, str) and len(item) > LONGEST_TEXT:
            return f"contains a text of {len(item)} characters; the limit for shared runs is {LONGEST_TEXT}"
        if isinstance(item, int | float) and not abs(item) <= LARGEST_NUMBER:
            return f"contains the number {str(item)[:40]}; the limit for shared runs is {LARGEST_NUMBER}"
    return ""


def _may_be_path(place: str, text: str) -> bool:
    if _PLACE.search(text):
        return not _PINNED_REPOSITORY.fullmatch(text)
    # Weights are a path only if they look like one. Other options may be the name of any existing file.
    return not place.endswith(".weights") and os.path.exists(text)
