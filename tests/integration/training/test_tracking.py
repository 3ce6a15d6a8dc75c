"""Epochs in TensorBoard's event files, and trackers that are not there."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import vczoo
from vczoo.errors import PluginError, UnknownNameError
from vczoo.io.progress import CallbackList, NullProgress
from vczoo.training.tracking import LOGS, Trackers, check_trackers

RECORD = {
    "epoch": 3,
    "learning_rate": 0.5,
    "trained_stages": 2,
    "train": {"loss": 1.5},
    "validation": {"loss": 2.5, "speaker.accuracy": 0.75},
    "seconds": 4.0,
}


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Every scalar of the event files in a folder: values by step."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {tag: {one.step: one.value for one in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


@pytest.fixture
def tensorboard() -> None:
    pytest.importorskip("tensorboard")


class Tracker:
    """Stands for wandb: what it was told, in order."""

    requires_logging_directory = False
    told: list[Any] = []  # noqa: RUF012 - accelerate makes the object, a test reads what it was told

    def __init__(self, project: str, **options: Any) -> None:
        self.told.append((project, options))

    def start(self) -> None:
        self.told.append("start")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.told.append(values)

    def log(self, values: dict[str, Any], step: int) -> None:
        self.told.append((step, values))

    def finish(self) -> None:
        self.told.append("finish")


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    from accelerate import tracking

    monkeypatch.setattr(Tracker, "told", [])
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", Tracker)
    monkeypatch.setattr("vczoo.training.tracking.get_available_trackers", lambda: ["wandb"])
    return Tracker.told


def test_a_fine_tune_is_in_the_event_files(
    tensorboard: None, tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    # With a cache of its own, so that there is something to hear before training: the trackers are told of that, too.
    cache = tmp_path / "cache"
    vczoo.finetune("demo", voices_folder, tmp_path / "run", small, cache=cache, progress=False, log=["tensorboard"])
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    found = scalars(tmp_path / "run" / LOGS)
    for tag in ("train/loss", "validation/loss", "validation/speaker.accuracy", "validation/voice.l1"):
        split, _, name = tag.partition("/")
        assert found[tag] == pytest.approx({record["epoch"]: record[split][name] for record in history})
    for tag in ("learning_rate", "seconds", "trained_stages"):
        assert found[tag] == pytest.approx({record["epoch"]: record[tag] for record in history})
    assert "epoch" not in found
    assert vczoo.load(tmp_path / "run").voices == ("alice", "bob", "carol")  # it is a run as any other


def test_a_resumed_fine_tune_goes_on_in_the_same_folder(
    tensorboard: None,
    tmp_path: Path,
    voices_folder: Path,
    small: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Press(NullProgress):
        def epoch(self, record: dict[str, Any]) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("vczoo.training.finetune.NullProgress", Press)
        with pytest.raises(KeyboardInterrupt):
            vczoo.finetune("demo", voices_folder, tmp_path / "run", small, progress=False, log=["tensorboard"])
    assert list(scalars(tmp_path / "run" / LOGS)["train/loss"]) == [0]
    vczoo.finetune("demo", voices_folder, tmp_path / "run", small, progress=False, log=["tensorboard"], resume=True)
    assert list(scalars(tmp_path / "run" / LOGS)["train/loss"]) == [0, 1, 2]


def test_without_a_name_nothing_is_logged(tmp_path: Path, trained_folder: Path) -> None:
    trackers = Trackers([], tmp_path, {})
    trackers.epoch(RECORD)
    trackers.end()
    assert list(tmp_path.iterdir()) == []
    assert not (trained_folder / LOGS).exists()


def test_a_tracker_gets_the_runs_name_its_recipe_and_flat_records(wandb: list[Any], tmp_path: Path) -> None:
    config = {"name": "demo", "training": {"epochs": 3, "content_speeds": [1.0]}}
    trackers = Trackers(["wandb", "wandb"], tmp_path / "mine", config)
    trackers.epoch(RECORD)
    trackers.end()
    assert wandb == [
        ("vczoo", {"name": "mine"}),
        "start",
        {"name": "demo", "training.epochs": 3, "training.content_speeds": "[1.0]"},
        (
            3,
            {
                "learning_rate": 0.5,
                "trained_stages": 2,
                "train/loss": 1.5,
                "validation/loss": 2.5,
                "validation/speaker.accuracy": 0.75,
                "seconds": 4.0,
            },
        ),
        "finish",
    ]


def test_trackers_are_closed_whatever_happens(
    wandb: list[Any], tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("vczoo.training.trainable_model.train_step", fail)
    with pytest.raises(MemoryError):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", small, progress=False, log=["wandb"])
    assert wandb[-1] == "finish"
    assert wandb.count("finish") == 1


def test_a_tracker_that_is_not_there_is_told_before_training(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vczoo.training.tracking.get_available_trackers", list)
    for name, package in (("wandb", "wandb"), ("tensorboard", '"vczoo[track]"')):
        with pytest.raises(PluginError) as error:
            vczoo.finetune("demo", voices_folder, tmp_path / "run", small, progress=False, log=[name])
        assert str(error.value) == f"the tracker {name} is not installed; run: pip install {package}"
    with pytest.raises(UnknownNameError, match="no tracker is called 'tensorbord'; did you mean 'tensorboard'"):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", small, progress=False, log=["tensorbord"])
    assert not (tmp_path / "run").exists()


def test_the_trackers_are_all_that_accelerate_has() -> None:
    from accelerate import tracking

    from vczoo.training.tracking import TRACKERS

    assert set(TRACKERS) == set(tracking.LOGGER_TYPE_TO_CLASS)
    assert check_trackers([]) == ()


def test_several_watchers_hear_the_same() -> None:
    class Ear:
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def begin(self, epochs: int, steps: int, done: int) -> None:
            self.heard.append((epochs, steps, done))

        def step(self, loss: float) -> None:
            self.heard.append(loss)

        def epoch(self, record: dict[str, Any]) -> None:
            self.heard.append(record)

    ears = Ear(), Ear()
    all_of_them = CallbackList(*ears)
    all_of_them.begin(3, 2, 1)
    all_of_them.step(0.5)
    all_of_them.epoch(RECORD)
    assert [ear.heard for ear in ears] == [[(3, 2, 1), 0.5, RECORD]] * 2
