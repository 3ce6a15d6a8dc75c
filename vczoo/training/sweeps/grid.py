"""A grid as text or as a mapping in; its axes, and the settings of every cell in order, out."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vczoo.errors import VczooError
from vczoo.io.plain_yaml import parse_value

__all__ = ["MINUTES", "RECIPE", "SEED", "Axis", "Settings", "cell_name", "is_axis", "read_grid", "settings_of", "shown"]

MINUTES, RECIPE, SEED = "minutes", "recipe", "seed"  # axes that are no setting of a recipe by their names
MOST_CELLS = 10_000
LONGEST_NAME = 120  # characters of a cell's name
DIGITS = 8
_UNSAFE = re.compile(r"[^a-z0-9._=,+-]+")

Settings = dict[str, Any]


@dataclass(frozen=True)
class Axis:
    """What is varied, and over what.

    Attributes:
        name: `minutes`, `recipe`, `seed`, or a setting of the recipe such as `freezing.trainable_stages`.
        values: plain values, in the order of the grid.
    """

    name: str
    values: tuple[Any, ...]

    @property
    def numeric(self) -> bool:
        """Whether every value is a number, so that they stand on a scale."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)


def is_axis(word: str) -> bool:
    """Whether `NAME=V1,V2` varies something; with one value it is a setting of all cells, but for minutes and recipe.

    Raises:
        VczooError: the values are not plain YAML.
    """
    name, equals, text = word.partition("=")
    return bool(equals) and (name in {MINUTES, RECIPE, SEED} or len(_values(name, text)) > 1)


def read_grid(grid: Iterable[str] | Mapping[str, Sequence[Any]]) -> tuple[Axis, ...]:
    """Read `["freezing.trainable_stages=0,1", "minutes=1,3"]`, or a mapping of the same.

    Values are separated by commas; one in brackets or quotes is one value.

    Raises:
        VczooError: every fault of the grid.
    """
    faults: list[str] = []
    pairs: list[tuple[str, list[Any]]] = []
    for item in grid.items() if isinstance(grid, Mapping) else grid:
        name, values = (item, ()) if isinstance(item, str) else item
        if isinstance(item, str):
            name, equals, text = item.partition("=")
            if not equals or not name:
                faults.append(f"{item!r} is not NAME=V1,V2; an example: freezing.trainable_stages=0,1,2")
                continue
            try:
                values = _values(name, text)
            except VczooError as error:
                faults.append(str(error))
                continue
        elif isinstance(values, str) or not isinstance(values, Sequence):
            faults.append(f"{name}: a list of values was expected, got {values!r}")
            continue
        pairs.append((SEED if name == "training.seed" else str(name), list(values)))
    axes: dict[str, Axis] = {}
    for name, values in pairs:
        if name in axes:
            faults.append(f"{name} stands twice; give all of its values at once: {name}=V1,V2")
        axes[name] = Axis(name, tuple(float(v) if name == MINUTES and _positive(v) else v for v in values))
        faults += _faults(axes[name])
    cells = math.prod(len(axis.values) for axis in axes.values())
    if not axes and not faults:
        faults.append("nothing is varied; give --grid NAME=V1,V2")
    if cells > MOST_CELLS:
        faults.append(f"{cells} cells, at most {MOST_CELLS} are trained")
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise VczooError("\n  - ".join([f"the grid has {count}:", *faults]))
    return tuple(axes.values())


def settings_of(axes: Sequence[Axis]) -> list[Settings]:
    """The settings of each cell, by axis; the last axis changes fastest."""
    names = [axis.name for axis in axes]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes))]


def cell_name(settings: Settings) -> str:
    """A name for a cell that is a safe name of a folder everywhere, and the same whatever else the grid holds."""
    text = ",".join(f"{name}={shown(value)}" for name, value in settings.items())
    safe = _UNSAFE.sub("-", text.lower())
    if safe == text and len(safe) <= LONGEST_NAME and not safe.endswith("."):
        return safe
    # Two values may look alike in safe letters, or where a disk takes small and capital letters for the same.
    digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:DIGITS]
    return f"{safe[: LONGEST_NAME - DIGITS - 1]}-{digest}"


def shown(value: Any) -> str:
    """A plain value as text for people: 3, 0.5, true, 256-128 for a list."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, list | tuple):
        return "-".join(map(shown, value))
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)


def _values(name: str, text: str) -> list[Any]:
    try:
        values = parse_value(f"[{text}]")
    except VczooError as error:
        raise VczooError(f"{name}={text}: not values separated by commas ({error})") from error
    return list(values) if isinstance(values, list) else [values]


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _faults(axis: Axis) -> list[str]:
    found = [] if axis.values else [f"{axis.name}: no value; give {axis.name}=V1,V2"]
    twice = [shown(v) for n, v in enumerate(axis.values) if json.dumps(v) in map(json.dumps, axis.values[:n])]
    if twice:
        found.append(f"{axis.name}: {', '.join(twice)} stands twice")
    for value in axis.values:
        if axis.name == MINUTES and not _positive(value):
            found.append(f"{MINUTES}: a number above 0 was expected, got {value!r}")
        if axis.name == RECIPE and not isinstance(value, str):
            found.append(f"{RECIPE}: a recipe's name was expected, got {value!r}")
        if axis.name == SEED and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            found.append(f"{SEED}: a whole number from 0 on was expected, got {value!r}")
    return found
