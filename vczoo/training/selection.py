"""Selection of the epoch whose weights are kept, and early stopping: a callback of training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from vczoo.io.progress import Callback
from vczoo.models.selection_metric import Criterion, score

__all__ = ["Selection"]


class Selection(Callback):
    """Keeps the weights of the best epoch, or of the last, and stops when validation no longer improves.

    Args:
        criterion: The figure of validation that compares epochs, as `training.criterion`.
        keep: Whether the weights of the `best` or of the `last` epoch are kept.
        patience: The number of epochs without improvement after which training stops; None trains to the end.
    """

    def __init__(
        self, criterion: Criterion = "loss", keep: Literal["best", "last"] = "best", patience: int | None = None
    ) -> None:
        self.criterion, self.keep, self.patience = criterion, keep, patience
        self.trainer: Any = None

    def start(self, trainer: Any) -> None:
        """Keep the first weights, in case that no epoch is better than where a finished run ended."""
        self.trainer = trainer
        if not trainer.state.kept:
            trainer.keep_weights()
        self._stop_without_patience(trainer.state.epoch)

    def validated(self, figures: Mapping[str, float]) -> None:
        """Compare the epoch with the best one so far.

        Raises:
            VczooError: The criterion is not finite: training diverged.
        """
        state = self.trainer.state
        epoch_score = score(figures, self.criterion)
        if not all(map(math.isfinite, epoch_score)):
            shown = ", ".join(f"{name} {value:g}" for name, value in figures.items() if not math.isfinite(value))
            raise self.trainer.trainable.diverged(f"the validation after epoch {state.epoch} is not finite ({shown})")
        if self.keep == "last" or not state.history or epoch_score < state.best_score:
            state.best_score, state.best_epoch = epoch_score, state.epoch
            self.trainer.keep_weights()
        self._stop_without_patience(state.epoch + 1)

    def _stop_without_patience(self, epoch: int) -> None:
        if self.patience is not None and epoch - max(self.trainer.state.best_epoch, 0) > self.patience:
            self.trainer.stop()
