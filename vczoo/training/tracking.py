"""Experiment tracking with TensorBoard and other trackers, through Accelerate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from vczoo.errors import PluginError, RunError, UnknownNameError
from vczoo.io.progress import Callback
from vczoo.io.text import nearest

__all__ = ["LOGS", "TRACKERS", "Trackers", "check_trackers"]

PROJECT = "vczoo"
LOGS = "logs"  # in the run's folder, so that `tensorboard --logdir runs/` shows runs by their names

# All trackers of Accelerate, with the argument that takes a run's name. TensorBoard, Aim and DVCLive take no name, but
# write into the run's folder; Comet names its experiments itself.
TRACKERS: Mapping[str, str] = {
    "tensorboard": "",
    "trackio": "name",
    "wandb": "name",
    "mlflow": "run_name",
    "swanlab": "experiment_name",
    "clearml": "task_name",
    "comet_ml": "",
    "aim": "",
    "dvclive": "",
}


def check_trackers(names: Iterable[str]) -> tuple[str, ...]:
    """Check that trackers are installed, before anything is trained.

    Returns:
        The names without duplicates.

    Raises:
        UnknownNameError: There is no tracker of this name. The message has the nearest names.
        PluginError: The tracker's library is not installed. The message has the command that installs it.
    """
    unique = tuple(dict.fromkeys(names))
    for name in unique:
        if name not in TRACKERS:
            raise UnknownNameError(
                f"no tracker is called {name!r}{nearest(name, TRACKERS)} There are: {', '.join(TRACKERS)}"
            )
        if name not in {str(kind) for kind in get_available_trackers()}:
            package = '"vczoo[track]"' if name == "tensorboard" else name
            raise PluginError(f"the tracker {name} is not installed; run: pip install {package}")
    return unique


class Trackers(Callback):
    """A callback that logs each epoch.

    If training runs in several processes, only the main process should have trackers. Set up Accelerate's own state
    first.

    Args:
        names: Names from `TRACKERS`. Without names, the callback does nothing.
        folder: The run's folder. TensorBoard and DVCLive write into `logs` in it, and Aim into `.aim`; the other
            trackers use its name for the run.
        config: The recipe as plain values.

    Raises:
        UnknownNameError, PluginError: A tracker is unknown or not installed, as in `check_trackers`.
        RunError: A tracker cannot write.
    """

    def __init__(self, names: Iterable[str], folder: Path, config: Mapping[str, Any]) -> None:
        self.trackers: list[tuple[str, Any]] = []
        checked = check_trackers(names)
        if not checked:
            return
        PartialState()  # the trackers ask this state whether they run in the main process
        for name in checked:
            kind = LOGGER_TYPE_TO_CLASS[name]
            run_name = folder.resolve().name
            options: dict[str, Any] = {TRACKERS[name]: run_name} if TRACKERS[name] else {}
            if name == "dvclive":
                options = {"dir": str(folder / LOGS / name), "resume": True, "save_dvc_exp": False}
            with _errors_named(name):
                if kind.requires_logging_directory:
                    tracker = kind(LOGS if name == "tensorboard" else run_name, str(folder))
                else:
                    tracker = kind(PROJECT, **options)
                tracker.start()
                self.trackers.append((name, tracker))
                tracker.store_init_configuration(_flat(config, "."))

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Log a line of metrics.jsonl at its epoch: `train/loss`, `validation/speaker.accuracy`, `learning_rate` …"""
        values = {name: value for name, value in _flat(record, "/").items() if name != "epoch"}
        for name, tracker in self.trackers:
            with _errors_named(name):
                tracker.log(values, step=record["epoch"])

    def end(self) -> None:
        """Write all pending records and close the trackers."""
        while self.trackers:
            name, tracker = self.trackers.pop()
            with _errors_named(name):
                tracker.finish()


@contextmanager
def _errors_named(name: str) -> Iterator[None]:
    """Turn a tracker's error about the disk or the network into one that names the tracker."""
    try:
        yield
    except OSError as error:
        raise RunError(f"the tracker {name} cannot write ({error}); free some space, or train without it") from error


def _flat(values: Mapping[str, Any], joint: str) -> dict[str, Any]:
    """Flatten nested mappings, and turn lists into text, which every tracker accepts."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}{joint}{inner}": inner_value for inner, inner_value in _flat(value, joint).items()}
        else:
            flat[name] = str(value) if isinstance(value, list | tuple) else value
    return flat
