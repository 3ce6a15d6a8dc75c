"""Pruning of a sweep's weak cells: the median rule on validation after a number of epochs.

Each cell trains to that epoch and writes a checkpoint. A cell that is worse than the lower median of all cells at the
same epoch stops there; the others continue from their checkpoints.

Source: the median stopping rule of Vizier (Golovin et al., KDD 2017).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vczoo.errors import VczooError
from vczoo.io.progress import Callback
from vczoo.models.selection_metric import score
from vczoo.training.checkpoints.checkpoint import LOG
from vczoo.training.sweeps.cells import Cell
from vczoo.training.sweeps.grid import SEED, Axis
from vczoo.training.sweeps.summary import incomparable

__all__ = ["FEWEST", "Pause", "Paused", "check_pruning", "early_score", "median_score"]

FEWEST = 4  # cells that have reached the epoch; the median of fewer says nothing


class Paused(Exception):  # noqa: N818  (it is no error: the training continues later)
    """A training has paused after an epoch, with a checkpoint."""


class Pause(Callback):
    """Pauses a training after an epoch, unless it ends there anyway: writes a checkpoint and raises `Paused`.

    Args:
        epochs: Number of epochs to train.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.trainer: Any = None

    def start(self, trainer: Any) -> None:
        """Pause at once if a resumed training is that far."""
        self.trainer = trainer
        if trainer.state.epoch >= self.epochs:
            self._pause()

    def epoch(self, record: dict[str, Any]) -> None:
        """Pause after the last epoch that is wanted."""
        if record["epoch"] + 1 >= self.epochs:
            self._pause()

    def _pause(self) -> None:
        if self.trainer.state.epoch < self.trainer.trainable.epochs:
            self.trainer.save()
            raise Paused


def check_pruning(prune_after: int | None, cells: Sequence[Cell], axes: Sequence[Axis]) -> None:
    """Check that weak cells can be pruned.

    Raises:
        VczooError: The epoch is below 1 or no cell trains for longer, or the cells cannot be compared.
    """
    if prune_after is None:
        return
    longest = max((cell.recipe.training.epochs for cell in cells), default=0)
    if not 1 <= prune_after < longest:
        raise VczooError(
            f"--prune-after must be at least 1 and below {longest}, the most epochs that a cell trains; "
            f"got {prune_after}"
        )
    if any(axis.name == SEED for axis in axes):
        raise VczooError(
            "pruning would keep the lucky seeds; remove the seed axis, and repeat the best cells with several seeds "
            "afterwards"
        )
    if reason := incomparable({cell.recipe.training.criterion for cell in cells}, axes):
        raise VczooError(f"--prune-after compares cells by validation, but {reason}")


def early_score(folder: Path, epochs: int, criterion: str) -> tuple[float, ...]:
    """Return a cell's validation score after a number of epochs, lower is better; () if it has not come so far.

    Args:
        folder: The folder of the cell's run.
        epochs: Number of epochs, as in `prune_after`.
        criterion: The criterion of its recipe.
    """
    try:
        lines = (folder / LOG).read_text(encoding="utf-8").splitlines()
        value = score(json.loads(lines[epochs - 1])["validation"], criterion)  # type: ignore[arg-type]
    except (OSError, ValueError, LookupError, TypeError):
        return ()
    return value if all(map(math.isfinite, value)) else ()


def median_score(scores: Sequence[tuple[float, ...]]) -> tuple[float, ...] | None:
    """Return the lower median, which at least half of the scores are not better than; None if there are too few."""
    return sorted(scores)[(len(scores) - 1) // 2] if len(scores) >= FEWEST else None
