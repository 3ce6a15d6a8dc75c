"""Pruning of weak cells: the lower median worked by hand, the pause of a training, and what cannot be pruned."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vczoo.errors import VczooError
from vczoo.training.sweeps.cells import cells_of
from vczoo.training.sweeps.grid import read_grid
from vczoo.training.sweeps.pruning import Pause, Paused, check_pruning, early_score, median_score


def test_the_lower_median_keeps_the_better_half() -> None:
    assert median_score([(4.0,), (1.0,), (3.0,), (2.0,)]) == (2.0,)
    assert median_score([(5.0,), (1.0,), (3.0,), (2.0,), (4.0,)]) == (3.0,)
    assert median_score([(-0.5, 1.0), (-0.5, 2.0), (-0.5, 3.0), (-0.75, 9.0)]) == (-0.5, 1.0), "the loss breaks ties"
    assert median_score([(1.0,), (2.0,), (3.0,)]) is None, "three cells say too little"


def test_the_score_is_that_of_the_same_epoch(tmp_path: Path) -> None:
    lines = [{"validation": {"loss": loss, "speaker.accuracy": 0.5}} for loss in (3.0, 2.0, 1.0)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert early_score(tmp_path, 2, "loss") == (2.0,)
    assert early_score(tmp_path, 2, "accuracy") == (-0.5, 2.0)
    assert early_score(tmp_path, 4, "loss") == (), "it has not come so far"
    assert early_score(tmp_path / "no", 1, "loss") == ()


class FakeTrainer:
    def __init__(self, epoch: int, epochs: int) -> None:
        self.state, self.trainable, self.saved = SimpleNamespace(epoch=epoch), SimpleNamespace(epochs=epochs), 0

    def save(self) -> None:
        self.saved += 1


def test_a_training_pauses_with_a_checkpoint() -> None:
    trainer, pause = FakeTrainer(0, 3), Pause(2)
    pause.start(trainer)
    trainer.state.epoch = 1
    pause.epoch({"epoch": 0})
    assert trainer.saved == 0
    trainer.state.epoch = 2
    with pytest.raises(Paused):
        pause.epoch({"epoch": 1})
    assert trainer.saved == 1


def test_a_training_that_ends_there_does_not_pause() -> None:
    trainer, pause = FakeTrainer(2, 2), Pause(2)
    pause.start(trainer)
    pause.epoch({"epoch": 1})
    assert trainer.saved == 0


@pytest.mark.parametrize(
    ("grid", "after", "message"),
    [
        (
            {"training.learning_rate": [0.1, 0.2]},
            0,
            "at least 1 and below 20, the most epochs that a cell trains; got 0",
        ),
        ({"training.learning_rate": [0.1, 0.2]}, 20, "at least 1 and below 20"),
        ({"seed": [0, 1]}, 2, "pruning would keep the lucky seeds"),
        ({"heads.speaker.weight": [0.1, 0.2]}, 2, "--prune-after compares cells by validation, but validation losses"),
    ],
)
def test_what_cannot_be_pruned_is_refused(grid: dict[str, list[Any]], after: int, message: str) -> None:
    axes = read_grid(grid)
    with pytest.raises(VczooError, match=message):
        check_pruning(after, cells_of("demo", (), axes), axes)
