"""The page that compares runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.html_page import Element, parse_page
from tests.unit.reporting.test_tables import evaluated
from vczoo.errors import VczooError
from vczoo.io.plain_yaml import dump_plain, parse_plain
from vczoo.reporting.comparison_curves import overlaid_figure
from vczoo.reporting.training_section import read_history
from vczoo.reporting.write import write_report
from vczoo.runs.run import MANIFEST

HISTORY = [{"epoch": epoch, "validation": {"loss": 2.0 - epoch}, "train": {"loss": 1.0}} for epoch in range(2)]


def other_run(folder: Path) -> Path:
    """Change a run as if it had been trained otherwise."""
    path = folder / "vczoo.yaml"
    config = parse_plain(path.read_text(encoding="utf-8"), "run")
    config["recipe"]["training"]["epochs"] = 77
    path.write_text(dump_plain(config), encoding="utf-8")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in HISTORY))
    evaluated(folder / "evaluation")
    return folder.rename(folder.parent / "other")


@pytest.fixture
def page(made_run: Path, run_folder: Path, tmp_path: Path) -> Element:
    path = write_report([made_run, other_run(run_folder)], tmp_path / "a.html")
    return parse_page(path.read_text(encoding="utf-8"))


def test_runs_are_side_by_side(page: Element) -> None:
    assert page.all("h1")[0].text == "Comparison of run, other"
    assert [heading.text for heading in page.all("h2")] == [
        "Figures side by side",
        "The same sentences by each run",
        "Curves over each other",
        "Settings that differ",
    ]
    figures = page.named("figures")
    assert figures.rows[0] == ["measure", "unconverted source", "other*"]
    assert "Not evaluated yet: run" in figures.text
    epochs = page.named("settings").rows[1]
    assert (epochs[0], epochs[2]) == ("training.epochs", "77")
    assert "other 1.000" in page.named("training").all("svg")[0].attributes["aria-label"]


def test_each_sentence_is_converted_by_each_run_to_one_voice(page: Element) -> None:
    listen = page.named("listen")
    sentences = listen.all("ul")
    assert len(sentences) == 3
    for sentence in sentences:
        labels = [audio.attributes["aria-label"] for audio in sentence.all("audio")]
        assert labels[0].startswith("Source: ")
        (one, as_one), (two, as_two) = (label.split(", as ") for label in labels[1:])
        assert (one, two) == ("run", "other")
        assert as_one == as_two
    assert "Share it only with their consent" in page.text


def test_no_sentence_is_from_the_training_of_another_run(made_run: Path, run_folder: Path, tmp_path: Path) -> None:
    manifest = run_folder / MANIFEST
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps(row | {"split": "train"}) + "\n" for row in rows))
    text = write_report([made_run, run_folder], tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Each held-out recording is in another run&#39;s training" in text
    assert "<audio" not in text


def test_what_cannot_be_compared_is_refused(made_run: Path, tmp_path: Path) -> None:
    with pytest.raises(VczooError, match="--out FILE"):
        write_report([made_run, made_run])
    with pytest.raises(VczooError, match="2 to 6 runs, got 1"):
        write_report([made_run], tmp_path / "a.html")
    with pytest.raises(VczooError, match="got 7"):
        write_report([made_run] * 7, tmp_path / "a.html")
    with pytest.raises(VczooError, match="compare runs"):
        write_report([made_run, evaluated(tmp_path / "evaluation")], tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_a_damaged_log_is_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0}\n')
    assert read_history(tmp_path) == []


def test_the_loss_comes_first_and_a_figure_of_one_run_has_a_panel() -> None:
    figure = overlaid_figure(
        {"a": HISTORY, "b": [{"epoch": 0, "validation": {"speaker.accuracy": 0.5, "speaker.loss": 1.0, "loss": 1.0}}]}
    )
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Loss", "Accuracy of speaker"]  # the losses of heads are parts of the loss
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "share right"]
