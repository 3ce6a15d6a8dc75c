"""The training state of a finished run, from which more epochs follow."""

from __future__ import annotations

import json

from vczoo.errors import RunError
from vczoo.models.selection_metric import best_epoch, score
from vczoo.models.training_settings import Training
from vczoo.runs.run import Run
from vczoo.training.checkpoints.checkpoint import LOG, TrainingState
from vczoo.training.checkpoints.identity import Identity

__all__ = ["state_of_run"]


def state_of_run(run: Run, settings: Training, identity: Identity) -> TrainingState:
    """The training state after the last epoch of a finished run.

    Args:
        run: The finished run, in its folder.
        settings: The training settings to go on with.
        identity: The identity of the fine-tune that goes on.

    Raises:
        RunError: The run has no epochs, or nothing would be trained: it has as many epochs as the settings ask for, or
            its patience has run out.
    """
    place = run.folder
    assert place is not None
    try:
        history = [json.loads(line) for line in (place / LOG).read_text(encoding="utf-8").splitlines()]
        epochs = len(history)
        best = best_epoch(history, settings.criterion, settings.keep)
        kept = score(history[best]["validation"], settings.criterion)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RunError(
            f"{place}: a finished run is here, but its epochs cannot be read from {LOG}; choose another --out"
        ) from error
    if settings.epochs <= epochs:
        raise RunError(
            f"{place}: a finished run of {epochs} epochs is here; to train it further, set training.epochs above "
            f"{epochs}, or choose another --out"
        )
    if epochs - best > settings.patience:
        raise RunError(
            f"{place}: training ended after {epochs} epochs, because the last {epochs - 1 - best} were no better than "
            f"epoch {best}; to train further, raise training.patience above {settings.patience}, too"
        )
    return TrainingState(identity, epochs, 0, kept, best, history, seconds=float(run.metrics.get("seconds", 0.0)))
