"""A recipe, settings for all cells and axes in; every cell, checked, out; or all faults of all of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vczoo.errors import RecipeError, VczooError
from vczoo.models.build import check
from vczoo.models.recipe import Recipe
from vczoo.models.resolve import nest, read_values
from vczoo.training.sweeps.grid import MINUTES, RECIPE, SEED, Axis, Settings, cell_name, settings_of

__all__ = ["Cell", "cells_of"]

NAMED = 3  # cells that a fault names; the rest are counted


@dataclass(frozen=True)
class Cell:
    """One combination of the grid.

    Attributes:
        name: of its folder.
        settings: its value on each axis.
        source: the recipe's name or file.
        overrides: of the recipe, nested.
        minutes: of each speaker's training speech, at most; None for all.
        recipe: resolved and checked.
    """

    name: str
    settings: Settings
    source: str
    overrides: dict[str, Any]
    minutes: float | None
    recipe: Recipe

    @property
    def digest(self) -> str:
        """Of all that decides what is trained, but for the recordings."""
        return hashlib.sha256(f"{self.recipe.to_yaml()}\n{self.minutes}".encode()).hexdigest()


def cells_of(
    source: str | Path | None, overrides: Iterable[str] | Mapping[str, Any], axes: Sequence[Axis]
) -> list[Cell]:
    """Every cell of a grid, in its order.

    Args:
        source: a recipe or its file; None where an axis names recipes.
        overrides: of every cell.
        axes: of the grid.

    Raises:
        RecipeError: every fault of every cell's recipe, each told once.
        VczooError: it is not clear which recipe is meant, or something is both set and varied.
    """
    shared = nest(overrides)
    _refuse_both(source, shared, axes)
    found: list[Cell] = []
    faulty: dict[str, list[str]] = {}
    checked: dict[str, tuple[str, ...]] = {}
    grid = settings_of(axes)
    for settings in grid:
        name = cell_name(settings)
        own = {axis: value for axis, value in settings.items() if axis not in {MINUTES, RECIPE, SEED}}
        own |= {"training.seed": settings[SEED]} if SEED in settings else {}
        recipe_name = str(settings.get(RECIPE, source))
        merged = nest({**shared, **own})
        try:
            recipe, faults = _checked(read_values(recipe_name, merged), checked)
        except RecipeError as error:
            recipe, faults = None, list(error.faults)
        except VczooError as error:  # no such recipe, say
            recipe, faults = None, [str(error)]
        for fault in faults:
            faulty.setdefault(fault, []).append(name)
        if recipe and not faults:
            found.append(Cell(name, settings, recipe_name, merged, settings.get(MINUTES), recipe))
    if faulty:
        lines = [f"{fault}{_where(names, len(grid))}" for fault, names in faulty.items()]
        raise RecipeError(str(source or "of the grid"), lines)
    return found


def _checked(values: dict[str, Any], known: dict[str, tuple[str, ...]]) -> tuple[Recipe | None, list[str]]:
    """A recipe and its faults; its parts are put together once for all cells that share them."""
    recipe, faults = Recipe.salvage(values)
    if recipe is None:
        return None, faults
    plain = recipe.to_plain()
    criteria = [getattr(recipe, section) and getattr(recipe, section).criterion for section in ("training", "tuning")]
    key = json.dumps([plain.get(p) for p in ("name", "start", "backbone", "freezing", "heads", "vocoder")] + criteria)
    if key not in known:
        try:
            check(recipe)
            known[key] = ()
        except RecipeError as error:
            known[key] = error.faults
    return recipe, faults + [fault for fault in known[key] if fault not in faults]


def _where(names: Sequence[str], count: int) -> str:
    if len(names) == count:
        return " (every cell)" if count > 1 else ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f" (in {'; '.join(names[:NAMED])}{more})"


def _refuse_both(source: str | Path | None, shared: dict[str, Any], axes: Sequence[Axis]) -> None:
    by_name = {axis.name: axis for axis in axes}
    swept = by_name.get(RECIPE)
    if source is None and not swept:
        raise VczooError("which recipe? Name one, or vary it: --grid recipe=NAME,NAME")
    if source is not None and swept and str(source) not in swept.values:
        names = ",".join(map(str, swept.values))
        raise VczooError(f"the recipe is {source} and {names}; leave one out, or vary --grid recipe={source},{names}")
    for name in by_name:
        place: Any = shared
        for step in ("training.seed" if name == SEED else name).split("."):
            place = place.get(step) if isinstance(place, dict) else None
        if place is not None:
            raise VczooError(f"{name} is set to {place} for every cell, and varied; leave one of the two out")
