"""The state of a sweep on disk.

sweep.json     the state as one mapping, replaced atomically after each cell
manifest.jsonl the recordings with their splits, which every cell reads
cells/<name>/  one ordinary run per cell
logs/          the output of each process
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vczoo.errors import RunError
from vczoo.io.files import write_text

__all__ = ["CELLS", "LOGS", "SWEEP", "State", "read_state"]

SWEEP, CELLS, LOGS = "sweep.json", "cells", "logs"
FORMAT = 1
_DAMAGED = "restore it from a backup, or choose another --out"


@dataclass
class State:
    """The state of a sweep.

    Attributes:
        shared: Everything that the cells have in common: resolved `recipes` by name, `overrides`, `data`.
        axes: The values of each axis so far, in the order of the last grid.
        cells: By name, each cell's settings, digest, status (waiting, running, done, failed, interrupted, paused,
            pruned), reason, measurements, and with pruning `early`: its score after some epochs.
        about: Versions, threads, and notes on what was left out and why.
        table: The table as plain values, one mapping per cell, with the columns of table.csv.
        means: The means and standard deviations over seeds, with the columns of means.csv.
        yardsticks: The similarity of unconverted sources and of real speech, for comparison with the cells'.
    """

    shared: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, list[Any]] = field(default_factory=dict)
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    yardsticks: dict[str, float] = field(default_factory=dict)
    table: list[dict[str, Any]] = field(default_factory=list)
    means: list[dict[str, Any]] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write sweep.json atomically.

        Raises:
            RunError: The disk cannot be written.
        """
        try:
            write_text(
                folder / SWEEP, json.dumps({"format": FORMAT, **vars(self)}, indent=2, ensure_ascii=False) + "\n"
            )
        except OSError as error:
            raise RunError(f"{folder / SWEEP} cannot be written ({error}); free some space and run it again") from error

    def refuse_others(self, shared: Mapping[str, Any], digests: Mapping[str, str], folder: Path) -> None:
        """Raise an error if a new sweep does not fit the one that is already in the folder.

        Args:
            shared: Everything that the new cells have in common.
            digests: The digest of each new cell, by name.
            folder: The sweep's folder, for the message.

        Raises:
            RunError: The recordings, the settings of all cells or a recipe have changed.
        """
        changes: list[str] = []
        if self.shared.get("data", {}).get("fingerprint") != shared["data"]["fingerprint"]:
            changes.append("other recordings, or other splits of them")
        if self.shared.get("overrides") != shared["overrides"]:
            before = self.shared.get("overrides") or "none"
            changes.append(f"other settings for all cells: {before} before, {shared['overrides'] or 'none'} now")
        recipes = self.shared.get("recipes", {})
        changes += [f"recipe {name} has changed" for name, r in shared["recipes"].items() if recipes.get(name, r) != r]
        if not changes and any(self.cells[name]["digest"] != d for name, d in digests.items() if name in self.cells):
            changes.append("a recipe has changed")
        if self.shared and not set(recipes) & set(shared["recipes"]):
            changes.append(f"another recipe: {', '.join(recipes)} before, {', '.join(shared['recipes'])} now")
        if changes:
            raise RunError(f"{folder} has a different sweep: {'; '.join(changes)}. Choose another --out")


def read_state(folder: Path) -> State:
    """Read the state of a sweep. It is empty if the folder has no sweep yet.

    Raises:
        RunError: The folder contains other files, or its sweep.json is damaged.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose a folder for the sweep")
    path = folder / SWEEP
    if not path.is_file():
        names = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")] if folder.is_dir() else []
        if names:
            raise RunError(f"{folder} contains no sweep, but {', '.join(sorted(names)[:5])}; choose another --out")
        return State()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise RunError(f"{path} was written by another version of vczoo; choose another --out")
        return State(**values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error}); {_DAMAGED}") from error
