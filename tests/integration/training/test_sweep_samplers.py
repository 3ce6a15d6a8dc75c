"""Sweeps that choose their cells: random and Optuna, resumed and extended. The cells are not really trained."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Self

import pytest

import vczoo
from vczoo.errors import VczooError
from vczoo.training.sweeps.tasks import Outcome, Task

GRID = {"training.learning_rate": [0.001, 0.003, 0.01, 0.03], "training.batch_size": [2, 4, 8]}


class Trained:
    """A pool whose cells are trained at once; the best one has rate 0.01 and batch size 4."""

    log: list[str] = []  # noqa: RUF012 - cleared by the fixture
    interrupt_after = 10**6

    def __init__(self, folder: Path, count: int, *_: Any) -> None:
        self.count, self.running = count, list[Task]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def free(self) -> int:
        return self.count - len(self.running)

    def start(self, task: Task) -> None:
        self.running.append(task)

    def ended(self) -> list[tuple[Task, Outcome]]:
        task = self.running.pop()
        if task.kind != "train":
            return [(task, Outcome("done"))]
        if len(self.log) == self.interrupt_after:
            self.running.append(task)
            raise KeyboardInterrupt
        self.log.append(task.name)
        Path(task.folders[0]).mkdir(parents=True)
        training = task.lessons[0].overrides["training"]
        loss = abs(training["learning_rate"] - 0.01) + abs(training["batch_size"] - 4)
        metrics = {"validation": {"loss": loss}, "seconds": 1.0, "epochs": 1}
        return [(task, Outcome("done", results={"metrics": metrics, "converts": False}))]

    def stop(self) -> list[tuple[Task, Outcome]]:
        return [(task, Outcome("interrupted")) for task in self.running]


@pytest.fixture(autouse=True)
def pool(monkeypatch: pytest.MonkeyPatch) -> type[Trained]:
    monkeypatch.setattr("vczoo.training.sweeps.sweep.Processes", Trained)
    monkeypatch.setattr("vczoo.training.sweeps.plan.is_run", Path.is_dir)
    monkeypatch.setattr("vczoo.training.sweeps.running_sweep.is_run", Path.is_dir)
    monkeypatch.setattr(Trained, "log", [])
    return Trained


def swept(voices: Path, out: Path, sampler: Any, cells: int, **options: Any) -> vczoo.Sweep:
    return vczoo.sweep(
        "demo", voices, out, GRID, sampler=sampler, cells=cells, measures=["loss"], cache=False, **options
    )


def test_random_cells_are_the_same_again_and_more_are_added(
    tmp_path: Path, voices_folder: Path, pool: type[Trained]
) -> None:
    first = swept(voices_folder, tmp_path / "out", "random", 4)
    assert len(first.rows()) == len(pool.log) == 4
    assert first.plots
    swept(voices_folder, tmp_path / "out", "random", 4)
    assert len(pool.log) == 4
    assert len(swept(voices_folder, tmp_path / "out", "random", 6).rows()) == len(pool.log) == 6
    sampling = json.loads((tmp_path / "out" / "sweep.json").read_text())["about"]["sampling"]
    assert sampling == {"sampler": "random", "count": 6, "seed": 0}


def test_a_grid_records_no_sampling(tmp_path: Path, voices_folder: Path) -> None:
    vczoo.sweep(
        "demo",
        voices_folder,
        tmp_path / "out",
        {"training.learning_rate": [0.001, 0.01]},
        ["training.batch_size=4"],
        cache=False,
    )
    assert set(json.loads((tmp_path / "out" / "sweep.json").read_text())["about"]) == {
        "python", "versions", "threads", "notes"
    }  # fmt: skip


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_interrupted_optuna_sweep_ends_like_an_uninterrupted_one(
    jobs: int, tmp_path: Path, voices_folder: Path, pool: type[Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    whole = swept(voices_folder, tmp_path / "whole", "optuna", 9, jobs=jobs)
    assert len(whole.rows()) == 9
    pool.log.clear()
    monkeypatch.setattr(pool, "interrupt_after", 5)
    with pytest.raises(KeyboardInterrupt):
        swept(voices_folder, tmp_path / "out", "optuna", 9, jobs=jobs)
    monkeypatch.setattr(pool, "interrupt_after", 10**6)
    assert swept(voices_folder, tmp_path / "out", "optuna", 9, jobs=jobs).rows() == whole.rows()
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    assert [row["cell"] for row in rows] == [row["cell"] for row in whole.rows()]
    assert len(pool.log) == 9


def test_optuna_compares_only_what_can_be_compared(tmp_path: Path, voices_folder: Path) -> None:
    pytest.importorskip("optuna")
    for grid, message in (
        ({"heads.speaker.weight": [0.5, 1.0]}, "cannot be compared over heads.speaker.weight"),
        ({"training.criterion": ["loss", "accuracy"]}, "different criteria"),
    ):
        with pytest.raises(VczooError, match=message):
            vczoo.sweep("demo", voices_folder, tmp_path / "out", grid, sampler="optuna", cells=2)
    assert not (tmp_path / "out" / "sweep.json").exists()
