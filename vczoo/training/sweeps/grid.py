"""Parsing of sweep grids, and the names and settings of their cells."""

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
from vczoo.io.text import bulleted, counted

__all__ = ["MINUTES", "RECIPE", "SEED", "Axis", "Settings", "cell_name", "is_axis", "read_grid", "settings_of", "shown"]

MINUTES, RECIPE, SEED = "minutes", "recipe", "seed"  # axes that are not paths of recipe settings
MOST_CELLS = 10_000
LONGEST_NAME = 120  # characters of a cell's name
DIGITS = 8
_UNSAFE = re.compile(r"[^a-z0-9._=,+-]+")

Settings = dict[str, Any]


@dataclass(frozen=True)
class Axis:
    """One setting that a sweep varies, with its values.

    Attributes:
        name: `minutes`, `recipe`, `seed`, or a setting of the recipe such as `freezing.trainable_stages`.
        values: The plain values, in the order of the grid.
    """

    name: str
    values: tuple[Any, ...]

    @property
    def numeric(self) -> bool:
        """Whether every value is a number, so that plots can use a numeric scale."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)


def is_axis(word: str) -> bool:
    """Whether `NAME=V1,V2` is an axis of a grid rather than a setting of all cells.

    It is an axis if it has several values, or if its name is `minutes`, `recipe` or `seed`.

    Raises:
        VczooError: The values are not plain YAML.
    """
    name, equals, text = word.partition("=")
    return bool(equals) and (name in {MINUTES, RECIPE, SEED} or len(_values(name, text)) > 1)


def read_grid(grid: Iterable[str] | Mapping[str, Sequence[Any]], most: float = MOST_CELLS) -> tuple[Axis, ...]:
    """Parse a grid such as `["freezing.trainable_stages=0,1", "minutes=1,3"]`, or a mapping of names to lists.

    Commas separate values. A value in brackets or quotes may contain commas.

    Args:
        grid: The grid.
        most: The most cells that it may have.

    Raises:
        VczooError: The grid is invalid. The message lists every fault.
    """
    faults: list[str] = []
    pairs: list[tuple[str, list[Any]]] = []
    for item in grid.items() if isinstance(grid, Mapping) else grid:
        name, values = (item, ()) if isinstance(item, str) else item
        if isinstance(item, str):
            name, equals, text = item.partition("=")
            if not equals or not name:
                faults.append(f"{item!r} is not NAME=V1,V2; for example, write freezing.trainable_stages=0,1,2")
                continue
            try:
                values = _values(name, text)
            except VczooError as error:
                faults.append(str(error))
                continue
        elif isinstance(values, str) or not isinstance(values, Sequence):
            faults.append(f"{name}: expected a list of values, got {values!r}")
            continue
        pairs.append((SEED if name == "training.seed" else str(name), list(values)))
    axes: dict[str, Axis] = {}
    for name, values in pairs:
        if name in axes:
            faults.append(f"{name} is given twice; list all of its values together: {name}=V1,V2")
        axes[name] = Axis(name, tuple(float(v) if name == MINUTES and _positive(v) else v for v in values))
        faults += _faults(axes[name])
    cells = math.prod(len(axis.values) for axis in axes.values())
    if not axes and not faults:
        faults.append("nothing is varied; give --grid NAME=V1,V2")
    if cells > most:
        faults.append(f"the grid makes {cells} cells; the limit is {most}")
    if faults:
        raise VczooError(bulleted(f"the grid has {counted(len(faults), 'fault')}", faults))
    return tuple(axes.values())


def settings_of(axes: Sequence[Axis]) -> list[Settings]:
    """The settings of each cell, by the name of the axis. The last axis changes fastest."""
    names = [axis.name for axis in axes]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes))]


def cell_name(settings: Settings) -> str:
    """A cell's name: a folder name that is valid on every system and does not depend on the rest of the grid."""
    text = ",".join(f"{name}={shown(value)}" for name, value in settings.items())
    safe = _UNSAFE.sub("-", text.lower())
    if safe == text and len(safe) <= LONGEST_NAME and not safe.endswith("."):
        return safe
    # The digest keeps values apart that look alike in safe letters, or on a disk that ignores case.
    digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:DIGITS]
    return f"{safe[: LONGEST_NAME - DIGITS - 1]}-{digest}"


def shown(value: Any) -> str:
    """A plain value as readable text: 3, 0.5, true, or 256-128 for a list."""
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
        raise VczooError(f"{name}={text}: expected values separated by commas ({error})") from error
    return list(values) if isinstance(values, list) else [values]


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _faults(axis: Axis) -> list[str]:
    faults = [] if axis.values else [f"{axis.name}: no value; write {axis.name}=V1,V2"]
    repeated = [shown(v) for n, v in enumerate(axis.values) if json.dumps(v) in map(json.dumps, axis.values[:n])]
    if repeated:
        faults.append(f"{axis.name}: {', '.join(repeated)} is given twice")
    for value in axis.values:
        if axis.name == MINUTES and not _positive(value):
            faults.append(f"{MINUTES}: expected a number above 0, got {value!r}")
        if axis.name == RECIPE and not isinstance(value, str):
            faults.append(f"{RECIPE}: expected a recipe's name, got {value!r}")
        if axis.name == SEED and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            faults.append(f"{SEED}: expected a whole number, 0 or more, got {value!r}")
    return faults
