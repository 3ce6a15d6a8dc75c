"""Fine-tunes that the page starts in processes of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

import vczoo
from vczoo.errors import VczooError
from vczoo.ui.training_process import FineTune, Order

MOST_SECONDS = 600.0


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("nothing happened")


@pytest.fixture
def order(voices_folder: Path, tmp_path: Path, small: tuple[str, ...]) -> Order:
    clips = tuple(str(path) for path in sorted((voices_folder / "alice").iterdir()))
    overrides = (*small, "training.criterion=loss", "training.epochs=4", "training.patience=50")
    return Order("demo", clips, "alice", str(tmp_path / "run"), overrides)


def test_a_fine_tune_is_followed_to_its_end(order: Order) -> None:
    training = FineTune(order, MOST_SECONDS)
    training.start()
    with pytest.raises(VczooError, match="being tuned already"):
        training.start()
    wait_for(lambda: training.poll() != "running")
    assert (training.state, training.message) == ("finished", "")
    assert [record["epoch"] for record in training.history()] == [0, 1, 2, 3]
    assert vczoo.load(Path(order.out)).voices == ("alice",)
    epochs = [epoch for epoch, _ in training.losses()]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 4
    assert len(epochs) % 4 == 0


def test_it_is_stopped_at_a_checkpoint_and_resumed(order: Order) -> None:
    training = FineTune(order._replace(overrides=(*order.overrides, "training.epochs=400")), MOST_SECONDS)
    training.start()
    wait_for(lambda: len(training.history()) > 1)
    training.stop()
    wait_for(lambda: training.poll() != "running")
    assert (training.state, training.message) == ("stopped", "")
    done = len(training.history())
    training.start()
    wait_for(lambda: len(training.history()) > done)
    training.stop()
    wait_for(lambda: training.poll() != "running")
    assert (training.state, training.message) == ("stopped", "")
    epochs = [epoch for epoch, _ in training.losses()]
    assert len(epochs) == len(set(epochs))  # no step is there twice
    assert epochs[-1] >= done


def test_a_fault_is_a_sentence(order: Order, tmp_path: Path) -> None:
    (tmp_path / "letter.wav").write_text("no sound")
    training = FineTune(order._replace(clips=(str(tmp_path / "letter.wav"),)), MOST_SECONDS)
    training.start()
    wait_for(lambda: training.poll() != "running")
    assert training.state == "failed"
    assert "letter.wav" in training.message
    assert "Traceback" not in training.message


def test_it_is_stopped_when_its_time_is_over(order: Order) -> None:
    training = FineTune(order._replace(overrides=(*order.overrides, "training.epochs=4000")), 0.0)
    training.start()
    wait_for(lambda: training.poll() != "running")
    assert (training.state, training.message) == ("stopped", "")
