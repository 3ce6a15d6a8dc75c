from __future__ import annotations

from pathlib import Path

from vczoo.ui.step_losses import StepLosses, read_losses, thinned


def train(path: Path, losses: list[float], done: int = 0) -> None:
    callback = StepLosses(path)
    callback.begin(epochs=5, steps=2, done=done)
    for loss in losses:
        callback.step(loss)
    callback.end()


def test_each_step_can_be_read_at_once(tmp_path: Path) -> None:
    callback = StepLosses(tmp_path / "steps.txt")
    callback.begin(epochs=5, steps=2, done=0)
    assert read_losses(callback.path) == []
    callback.step(3.0)
    assert read_losses(callback.path) == [(0.5, 3.0)]
    callback.step(2.0)
    assert read_losses(callback.path) == [(0.5, 3.0), (1.0, 2.0)]
    callback.end()


def test_a_resumed_training_replaces_the_steps_that_it_does_again(tmp_path: Path) -> None:
    train(tmp_path / "steps.txt", [3.0, 2.0, 1.0])
    train(tmp_path / "steps.txt", [1.5], done=2)
    assert read_losses(tmp_path / "steps.txt") == [(0.5, 3.0), (1.0, 2.0), (1.5, 1.5)]


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "steps.txt").write_text("0.5 3\n1.0 2.")
    assert read_losses(tmp_path / "steps.txt") == [(0.5, 3.0)]


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert read_losses(tmp_path / "steps.txt") == []


def test_many_steps_become_means() -> None:
    losses = [(float(step), float(step)) for step in range(1, 11)]
    assert thinned(losses, 4) == [(3.0, 2.0), (6.0, 5.0), (9.0, 8.0), (10.0, 10.0)]
    assert thinned(losses, 10) == losses
    assert thinned([], 4) == []
