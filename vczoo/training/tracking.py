"""Records of training in, event files of TensorBoard or what another tracker makes of them out (through Accelerate)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from vczoo.errors import PluginError, UnknownNameError
from vczoo.io.text import nearest

__all__ = ["LOGS", "TRACKERS", "Trackers", "check_trackers"]

PROJECT = "vczoo"
LOGS = "logs"  # in the run's folder, so that `tensorboard --logdir runs/` shows runs by their names

# By the name of each: the argument that takes a run's name. TensorBoard's is its folder.
TRACKERS: Mapping[str, str] = {"tensorboard": "", "trackio": "name", "wandb": "name", "mlflow": "run_name"}


def check_trackers(names: Iterable[str]) -> tuple[str, ...]:
    """See that trackers are there before anything is trained.

    Returns:
        The names, each once.

    Raises:
        UnknownNameError: no such tracker; the nearest names.
        PluginError: its library is not installed; with the command that installs it.
    """
    asked = tuple(dict.fromkeys(names))
    for name in asked:
        if name not in TRACKERS:
            raise UnknownNameError(
                f"no tracker is called {name!r}{nearest(name, TRACKERS)} There are: {', '.join(TRACKERS)}"
            )
        if name not in {str(kind) for kind in get_available_trackers()}:
            package = '"vczoo[track]"' if name == "tensorboard" else name
            raise PluginError(f"the tracker {name} is not installed; run: pip install {package}")
    return asked


class Trackers:
    """Hears how training goes and logs each epoch: a `Callback` for `vczoo.training.trainer.fit`. Use it as a context.

    Where training runs in several processes, only the first should have one; Accelerate's own state comes first.

    Args:
        names: of `TRACKERS`; none for a watcher that does nothing.
        folder: the run's; TensorBoard writes into `logs` in it, the others file the run under its name.
        config: the recipe as plain values.

    Raises:
        UnknownNameError, PluginError: as `check_trackers`.
    """

    def __init__(self, names: Iterable[str], folder: Path, config: Mapping[str, Any]) -> None:
        self.trackers: list[Any] = []
        asked = check_trackers(names)
        if not asked:
            return
        PartialState()  # its trackers ask this state whether they are the first process
        for name in asked:
            kind = LOGGER_TYPE_TO_CLASS[name]
            named = {TRACKERS[name]: folder.resolve().name} if TRACKERS[name] else {}
            tracker = kind(LOGS, str(folder)) if kind.requires_logging_directory else kind(PROJECT, **named)
            tracker.start()
            self.trackers.append(tracker)
            tracker.store_init_configuration(_flat(config, "."))

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Nothing."""

    def hearing(self, done: int, total: int) -> None:
        """Nothing."""

    def step(self, loss: float) -> None:
        """Nothing: what a step's loss is, an epoch's mean says better, and a step should wait for nobody."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Log an epoch's record."""
        self.log(record)

    def log(self, record: Mapping[str, Any]) -> None:
        """Log a line of metrics.jsonl at its epoch: `train/loss`, `validation/speaker.accuracy`, `learning_rate` …"""
        values = {name: value for name, value in _flat(record, "/").items() if name != "epoch"}
        for tracker in self.trackers:
            tracker.log(values, step=record["epoch"])

    def finish(self) -> None:
        """Write out what is not written yet, and close."""
        while self.trackers:
            self.trackers.pop().finish()


def _flat(values: Mapping[str, Any], joint: str) -> dict[str, Any]:
    """Nested mappings as one; lists as text, which every tracker takes."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}{joint}{inner}": found for inner, found in _flat(value, joint).items()}
        else:
            flat[name] = str(value) if isinstance(value, list | tuple) else value
    return flat
