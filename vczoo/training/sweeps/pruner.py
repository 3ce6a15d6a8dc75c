"""`Pruner`: decides which cells of a running sweep stop, and records it in the sweep's state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vczoo.training.sweeps.cells import Cell
from vczoo.training.sweeps.pruning import early_score, median_score
from vczoo.training.sweeps.state import CELLS, State

__all__ = ["Pruner"]


class Pruner:
    """Compares cells after a number of epochs, each of them once.

    Args:
        epochs: The number of epochs.
        state: The state of the sweep, which changes.
        folder: The folder of the sweep.
    """

    def __init__(self, epochs: int, state: State, folder: Path) -> None:
        self.epochs, self.state, self.folder = epochs, state, folder

    def undecided(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that have not been compared, and are not trained to the end."""
        entries = {cell.name: self.state.cells[cell.name] for cell in cells}
        return [
            cell
            for cell in cells
            if entries[cell.name].get("early", {}).get("epochs") != self.epochs
            and entries[cell.name]["status"] != "done"
        ]

    def to_train(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that have not come so far, or failed before."""
        return [cell for cell in cells if self.state.cells[cell.name]["status"] == "failed" or not self._score(cell)]

    def stop_weak(self, cells: Sequence[Cell], all_cells: Sequence[Cell]) -> list[Cell]:
        """Stop those of `cells` that are worse than the lower median of all cells; return them."""
        scores = {cell.name: score for cell in all_cells if (score := self._score(cell))}
        median = median_score(list(scores.values()))
        stopped = []
        for cell in cells:
            entry, score = self.state.cells[cell.name], scores.get(cell.name, ())
            if not score or entry["status"] in ("done", "failed"):
                continue
            entry["early"] = {"epochs": self.epochs, "score": list(score)}
            if median is not None and score > median:
                what = f"{cell.recipe.training.criterion} {abs(score[0]):.4g} after epoch {self.epochs}"
                reason = f"{what} is worse than {abs(median[0]):.4g}, the median of {len(scores)} cells"
                entry |= {"status": "pruned", "reason": reason}
                stopped.append(cell)
        self.state.write(self.folder)
        return stopped

    def _score(self, cell: Cell) -> tuple[float, ...]:
        """The cell's score after so many epochs; () if it has not come so far."""
        return early_score(self.folder / CELLS / cell.name, self.epochs, cell.recipe.training.criterion)
