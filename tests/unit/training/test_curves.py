"""The picture of a fine-tune: what is in it, which epoch is marked, and that training does not depend on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.font_manager  # noqa: F401  (on a new machine its first import starts fc-list)
import pytest
from matplotlib.text import Text

from vczoo.training import curves
from vczoo.training.curves import CURVES, draw_curves, plot_curves


def record(epoch: int, loss: float, **figures: float) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "learning_rate": 0.1 / (epoch + 1),
        "trained_stages": 1,
        "train": {"loss": loss / 2, "speaker.accuracy": 0.5},
        "validation": {"loss": loss, **figures},
        "seconds": 1.0,
    }


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were saved."""
    figures: list[Any] = []

    def keep(figure: Any, path: Path) -> Path:
        figures.append(figure)
        return path

    monkeypatch.setattr(curves, "save", keep)
    return figures


def test_each_kind_of_figure_has_its_panel_and_the_chosen_epoch_its_mark(drawn: list[Any], tmp_path: Path) -> None:
    history = [
        record(n, loss, similarity=0.1 * n, character_error=0.5, **{"speaker.accuracy": 0.25})
        for n, loss in enumerate([3.0, 1.0, 2.0])
    ]
    plot_curves(history, tmp_path / "x.png", 1)
    loss, accuracy, heard, rate = drawn[0].axes
    titles = [axes.get_title(loc="left") for axes in drawn[0].axes]
    assert titles == ["Loss", "Accuracy of speaker", "Held-out conversions", "Learning rate at the end of the epoch"]
    shown = {line.get_label(): list(line.get_ydata()) for axes in (loss, heard) for line in axes.lines}
    assert shown["training"] == [1.5, 0.5, 1.0]
    assert shown["validation"] == [3.0, 1.0, 2.0]
    assert shown["similarity to the target"] == pytest.approx([0, 0.1, 0.2])
    assert shown["character error rate"] == [0.5] * 3
    assert [list(line.get_xdata()) for line in accuracy.lines[1:3]] == [[0, 1, 2]] * 2
    assert list(rate.lines[1].get_ydata()) == pytest.approx([0.1, 0.05, 0.1 / 3])
    for axes in drawn[0].axes:
        assert list(axes.lines[0].get_xdata()) == [1, 1]
    assert rate.get_xlabel() == "epoch; the weights of epoch 1 are kept"
    assert loss.get_yscale() == "linear"


def test_errors_and_recall_of_heads_have_theirs(drawn: list[Any], tmp_path: Path) -> None:
    figures = {"text.wer": 0.5, "text.cer": 0.25, "mood.recall": 0.75}
    plot_curves([record(n, 1.0, **figures) for n in range(2)], tmp_path / "x.png", 0)
    panels = {axes.get_title(loc="left"): axes for axes in drawn[0].axes}
    shown = {line.get_label(): list(line.get_ydata()) for line in panels["Wrong words and characters of text"].lines}
    assert (shown["words"], shown["characters"]) == ([0.5] * 2, [0.25] * 2)
    assert [0.75] * 2 in [list(line.get_ydata()) for line in panels["Mean recall of mood"].lines]


def test_no_legend_covers_a_title(drawn: list[Any], tmp_path: Path) -> None:
    figures = {"text.wer": 0.5, "text.cer": 0.25, "similarity": 0.5, "character_error": 0.5}
    plot_curves([record(n, 1.0, **figures) for n in range(2)], tmp_path / "x.png", 0)
    drawn[0].tight_layout()
    drawn[0].draw_without_rendering()
    legends = [axes.get_legend().get_window_extent() for axes in drawn[0].axes if axes.get_legend()]
    titles = {axes.get_title(loc="left") for axes in drawn[0].axes}
    texts = [text for text in drawn[0].findobj(Text) if text.get_text() in titles - {""}]
    assert len(legends) == 3
    assert not [text.get_text() for text in texts for legend in legends if legend.overlaps(text.get_window_extent())]


def test_what_is_not_measured_has_no_panel(drawn: list[Any], tmp_path: Path) -> None:
    one = record(0, 1.0)
    del one["train"]["speaker.accuracy"]
    plot_curves([one], tmp_path / "x.png", 0)
    assert [axes.get_title(loc="left") for axes in drawn[0].axes] == ["Loss", "Learning rate at the end of the epoch"]
    has_unknown_speakers = [
        record(0, 100.0),
        record(1, 1.0),
    ]  # the classifier is trained, and knows nobody in validation
    plot_curves(has_unknown_speakers, tmp_path / "x.png", 1)
    assert [line.get_label() for line in drawn[1].axes[1].lines[1:]] == ["training"]
    assert drawn[1].axes[0].get_yscale() == "log"


def test_the_criterion_says_which_epoch_is_marked(drawn: list[Any], tmp_path: Path) -> None:
    history = [record(n, loss, similarity=0.9 - 0.1 * n) for n, loss in enumerate([3.0, 2.0, 1.0])]
    log = tmp_path / "metrics.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in history))
    asked = [("similarity", "best", 0), ("loss", "best", 2), ("similarity", "last", 2)]
    for criterion, keep, epoch in asked:
        assert draw_curves(log, criterion, keep) == tmp_path / CURVES
        assert f"epoch {epoch} are" in drawn[-1].axes[-1].get_xlabel()
    log.write_text("")
    assert draw_curves(log, "loss", "best") is None
    assert draw_curves(tmp_path / "none", "loss", "best") is None
    assert len(drawn) == len(asked)


def test_a_disk_that_refuses_the_picture_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def full(figure: Any, path: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(curves, "save", full)
    log = tmp_path / "metrics.jsonl"
    log.write_text(json.dumps(record(0, 1.0)))
    said: list[str] = []
    assert draw_curves(log, "loss", "best", said.append) is None
    assert said == ["curves.png is not drawn: [Errno 28] No space left on device"]
