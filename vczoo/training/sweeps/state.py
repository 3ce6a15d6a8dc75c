"""A sweep's folder in, what is known of its cells out, and back; one sweep at a time has the folder.

sweep.json     everything below as one mapping, written beside and renamed after each cell
manifest.jsonl the recordings with their splits, which every cell reads
cells/<name>/  an ordinary run each
logs/          what each process wrote
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vczoo.errors import RunError
from vczoo.io.files import write_text

__all__ = ["CELLS", "LOCK", "LOGS", "SWEEP", "State", "held", "read_state"]

SWEEP, CELLS, LOGS, LOCK = "sweep.json", "cells", "logs", ".lock"
FORMAT = 1
_DAMAGED = "copy it from a backup, or sweep into another folder"


@dataclass
class State:
    """What is known of a sweep.

    Attributes:
        shared: what every cell has in common: `recipes` resolved by name, `overrides`, `data`.
        axes: the values of each axis so far, in the order of the last grid.
        cells: by name: settings, digest, status (running, done, failed, interrupted), reason, and what was measured.
        about: versions, threads, what was left out and why.
        yardsticks: similarity of unconverted sources and of real speech, to read the cells' by.
    """

    shared: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, list[Any]] = field(default_factory=dict)
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    yardsticks: dict[str, float] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write sweep.json, in one step.

        Raises:
            RunError: the disk refuses.
        """
        try:
            write_text(
                folder / SWEEP, json.dumps({"format": FORMAT, **vars(self)}, indent=2, ensure_ascii=False) + "\n"
            )
        except OSError as error:
            raise RunError(f"{folder / SWEEP}: cannot be written ({error}); free some space and go on") from error

    def refuse_others(self, shared: Mapping[str, Any], digests: Mapping[str, str], folder: Path) -> None:
        """See that a sweep may go on here.

        Args:
            shared: what its cells have in common.
            digests: of each of its cells.
            folder: of the sweep, for the message.

        Raises:
            RunError: the recordings, the settings of all cells or a recipe are not those of before.
        """
        told: list[str] = []
        if self.shared.get("data", {}).get("fingerprint") != shared["data"]["fingerprint"]:
            told.append("other recordings, or other splits of them")
        if self.shared.get("overrides") != shared["overrides"]:
            before = self.shared.get("overrides") or "none"
            told.append(f"other settings for all cells: {before} before, {shared['overrides'] or 'none'} now")
        recipes = self.shared.get("recipes", {})
        told += [f"recipe {name} has changed" for name, r in shared["recipes"].items() if recipes.get(name, r) != r]
        if not told and any(self.cells[name]["digest"] != d for name, d in digests.items() if name in self.cells):
            told.append("a recipe has changed")
        if self.shared and not set(recipes) & set(shared["recipes"]):
            told.append(f"another recipe: {', '.join(recipes)} before, {', '.join(shared['recipes'])} now")
        if told:
            raise RunError(f"{folder}: another sweep is here: {'; '.join(told)}. Choose another --out")


def read_state(folder: Path) -> State:
    """What is known of a sweep; nothing where none is here yet.

    Raises:
        RunError: the folder holds something else, or its sweep.json is damaged.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose a folder for the sweep")
    path = folder / SWEEP
    if not path.is_file():
        if folder.is_dir() and (there := {entry.name for entry in folder.iterdir()} - {LOCK}):
            raise RunError(
                f"{folder} exists, and holds no sweep but {', '.join(sorted(there)[:5])}; choose another --out"
            )
        return State()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise RunError(f"{path}: written by another version of vczoo; sweep into another folder")
        return State(**values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: damaged ({error}); {_DAMAGED}") from error


@contextmanager
def held(path: Path, *, what: str) -> Iterator[int]:
    """Have a lock file to oneself; it is let go when the process ends, however that comes.

    Yields:
        The open file's number. Where it is handed on to children, the lock is held until the last of them has ended.

    Raises:
        RunError: another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            _lock(file.fileno())
        except OSError:
            raise RunError(f"{path.parent}: {what}; wait for it to end, or choose another --out") from None
        yield file.fileno()


def _lock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
