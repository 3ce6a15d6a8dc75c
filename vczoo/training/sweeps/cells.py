"""The cells of a sweep's grid. Their recipes are all checked, and all faults reported together."""

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

NAMED = 3  # at most, cells that a fault lists by name; the rest are only counted


@dataclass(frozen=True)
class Cell:
    """One combination of the grid.

    Attributes:
        name: The cell's name, which is also the name of its folder.
        settings: The cell's value on each axis.
        source: The recipe's name or file.
        overrides: Changes to the recipe, as a nested mapping.
        minutes: The most minutes of training speech per speaker; None for all.
        recipe: The recipe, resolved and checked.
    """

    name: str
    settings: Settings
    source: str
    overrides: dict[str, Any]
    minutes: float | None
    recipe: Recipe

    @property
    def digest(self) -> str:
        """A digest of everything that decides the trained model, except the recordings."""
        return hashlib.sha256(f"{self.recipe.to_yaml()}\n{self.minutes}".encode()).hexdigest()


def cells_of(
    source: str | Path | None,
    overrides: Iterable[str] | Mapping[str, Any],
    axes: Sequence[Axis],
    chosen: Sequence[Settings] | None = None,
) -> list[Cell]:
    """Every cell of a grid, in the order of the grid, or the chosen ones.

    Args:
        source: A recipe or its file; None if an axis names the recipes.
        overrides: Changes to every cell's recipe.
        axes: The axes of the grid.
        chosen: The combinations to make cells of; None for all.

    Raises:
        RecipeError: A cell's recipe is invalid. The message has each fault of any cell once.
        VczooError: It is ambiguous which recipe is meant, or a setting is both fixed and varied.
    """
    shared = nest(overrides)
    _refuse_both(source, shared, axes)
    cells: list[Cell] = []
    faulty: dict[str, list[str]] = {}
    checked: dict[str, tuple[str, ...]] = {}
    grid = settings_of(axes) if chosen is None else chosen
    for settings in grid:
        name = cell_name(settings)
        varied = {axis: value for axis, value in settings.items() if axis not in {MINUTES, RECIPE, SEED}}
        varied |= {"training.seed": settings[SEED]} if SEED in settings else {}
        recipe_name = str(settings.get(RECIPE, source))
        merged = nest({**shared, **varied})
        try:
            recipe, faults = _checked(read_values(recipe_name, merged), checked)
        except RecipeError as error:
            recipe, faults = None, list(error.faults)
        except VczooError as error:  # for example, there is no such recipe
            recipe, faults = None, [str(error)]
        for fault in faults:
            faulty.setdefault(fault, []).append(name)
        if recipe and not faults:
            cells.append(Cell(name, settings, recipe_name, merged, settings.get(MINUTES), recipe))
    if faulty:
        lines = [f"{fault}{_where(names, len(grid))}" for fault, names in faulty.items()]
        raise RecipeError(str(source or "of the grid"), lines)
    return cells


def _checked(values: dict[str, Any], faults_by_parts: dict[str, tuple[str, ...]]) -> tuple[Recipe | None, list[str]]:
    """A recipe and its faults. Parts that several cells share are checked once; `faults_by_parts` remembers them."""
    recipe, faults = Recipe.salvage(values)
    if recipe is None:
        return None, faults
    plain = recipe.to_plain()
    criteria = [getattr(recipe, section) and getattr(recipe, section).criterion for section in ("training", "tuning")]
    key = json.dumps([plain.get(p) for p in ("name", "start", "backbone", "freezing", "heads", "vocoder")] + criteria)
    if key not in faults_by_parts:
        try:
            check(recipe)
            faults_by_parts[key] = ()
        except RecipeError as error:
            faults_by_parts[key] = error.faults
    return recipe, faults + [fault for fault in faults_by_parts[key] if fault not in faults]


def _where(names: Sequence[str], count: int) -> str:
    if len(names) == count:
        return " (every cell)" if count > 1 else ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f" (in {'; '.join(names[:NAMED])}{more})"


def _refuse_both(source: str | Path | None, shared: dict[str, Any], axes: Sequence[Axis]) -> None:
    by_name = {axis.name: axis for axis in axes}
    swept = by_name.get(RECIPE)
    if source is None and not swept:
        raise VczooError("no recipe is given; name one, or vary it: --grid recipe=NAME,NAME")
    if source is not None and swept and str(source) not in swept.values:
        names = ",".join(map(str, swept.values))
        raise VczooError(
            f"the recipe is {source}, but the grid has {names}; drop one, or use --grid recipe={source},{names}"
        )
    for name in by_name:
        value: Any = shared
        for step in ("training.seed" if name == SEED else name).split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            raise VczooError(f"{name} is set to {value} for every cell, and the grid varies it; remove one of the two")
