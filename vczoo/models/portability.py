"""A recipe in; what in it is of one machine alone out, and the recipe as another machine can build it."""

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
    """What another machine should not build: options beyond any model, and those that may make it look at its files.

    That is each text that may be a path. `owner/name@<full commit>` is none: it is a Hub repository that nobody can
    change.
    """
    faults = []
    if recipe.start:
        faults.append(f"start: {recipe.start[:LONGEST_TEXT]!r}, but a run holds every tensor itself and has no start")
    for place, value in _options(recipe):
        items = list(_flat(value))
        if size := _size_fault(items):
            faults.append(f"{place[:LONGEST_TEXT]}: {size}")
            continue
        faults += [
            f"{place}: {text!r} may be a path; registered weights, or owner/name@<full commit>, mean the same "
            "everywhere"
            for text in items
            if isinstance(text, str) and _may_be_path(place, text)
        ]
    return faults


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


def _options(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    """Every option of a recipe's parts, with its place."""
    own = ("backbone", "freezing", "vocoder", "teacher")
    parts: list[tuple[str, Part | None]] = [(place, getattr(recipe, place)) for place in own]
    for place, part in [*parts, *((f"heads.{name}", head) for name, head in recipe.heads.items())]:
        yield from ((f"{place}.{name}", value) for name, value in (part.options if part else {}).items())


def _flat(value: Any) -> Iterator[Any]:
    """The scalars in a value, and the keys of its mappings."""
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
    """Why the value that these scalars are of is no option of any model, or ""."""
    if len(items) > MOST_ITEMS:
        return f"{len(items)} items, at most {MOST_ITEMS} are taken from elsewhere"
    for item in items:
        if isinstance(item, str) and len(item) > LONGEST_TEXT:
            return f"a text of {len(item)} characters, at most {LONGEST_TEXT} are taken from elsewhere"
        if isinstance(item, int | float) and not abs(item) <= LARGEST_NUMBER:
            return f"the number {str(item)[:40]}, at most {LARGEST_NUMBER} is taken from elsewhere"
    return ""


def _may_be_path(place: str, text: str) -> bool:
    if _PLACE.search(text):
        return not _PINNED_REPOSITORY.fullmatch(text)
    # Weights are a path by their form alone; what else a part may look for is not known.
    return not place.endswith(".weights") and os.path.exists(text)
