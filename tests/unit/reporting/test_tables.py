"""Reports of sweeps and evaluations, from their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.html_page import parse_page
from vczoo.errors import RunError, VczooError
from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.evaluation.report import Report, Scores
from vczoo.reporting.evaluation_page import read_evaluation
from vczoo.reporting.write import write_report
from vczoo.training.sweeps.state import State

HOSTILE = "<script>x</script>"


def evaluated(folder: Path) -> Path:
    trials = tuple({"similarity_to_target": 0.5 + n / 10, "similarity_to_source": 0.4} for n in range(3))
    figures = {"similarity_to_target": Figure(0.6, 0.5, 0.7, 3), "wer": Figure(0.2, float("nan"), float("nan"), 1)}
    scores = (
        Scores("unconverted source", "floor", figures, trials),
        Scores(HOSTILE, "system", figures, trials, notes=("leaks",)),
    )
    Report(scores, {"trials": "t.csv", "trial_count": 3, "asr": ["whisper"]}, ("read this",)).write(folder)
    return folder


def swept(folder: Path, **changes: Any) -> Path:
    cells = {
        f"training.epochs={epochs},seed={seed}": {
            "settings": {"training.epochs": epochs, "seed": seed},
            "digest": "",
            "status": "done",
            "metrics": {
                "seconds": 1.0,
                "epochs": epochs,
                "validation": {"loss": 1.0 + seed, "speaker.accuracy": 0.5},
                "test": {"loss": 2.0, "speaker.accuracy": 0.25},
            },
        }
        for epochs in (1, 2)
        for seed in (0, 1)
    }
    state = State(
        shared={"recipes": {HOSTILE: {"summary": HOSTILE}}, "overrides": ["training.batch_size=4"], "data": {}},
        axes={"training.epochs": [1, 2], "seed": [0, 1]},
        cells=cells,
        about={"notes": ["best by validation loss: training.epochs=1"]},
    )
    for name, value in changes.items():
        setattr(state, name, value)
    state.write(folder)
    return folder


def test_an_evaluation_gets_its_table_plot_and_setup(tmp_path: Path) -> None:
    path = write_report(evaluated(tmp_path))
    assert path == tmp_path / "report.html"
    page = parse_page(path.read_text(encoding="utf-8"))
    assert page.all("h1")[0].text == f"Evaluation of {HOSTILE}"
    section = page.named("figures")
    assert section.rows == [
        ["measure", "unconverted source", f"{HOSTILE}*"],
        ["to target ↑", "0.600 ±0.100", "0.600 ±0.100"],
        ["WER ↓", "0.200", "0.200"],
    ]
    assert {"read this", f"* {HOSTILE}: leaks"} <= {paragraph.text for paragraph in section.all("p")}
    assert "cosine to the target" in section.all("svg")[0].text
    assert ["asr", "whisper"] in page.named("setup").rows


def test_an_evaluation_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = read_evaluation(evaluated(tmp_path))
    assert report.rows() == read_evaluation(tmp_path).rows()
    assert report.scores[0].role == "floor"
    assert len(report.scores[1].trials) == 3


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"systems": 3}', '{"systems": [{}]}', '{"systems": [{"system": "a", "figures": {"b": 1}}]}']
)
def test_a_damaged_evaluation_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(RunError, match="not the results of an evaluation"):
        read_evaluation(tmp_path)


def test_the_evaluation_of_a_run_replaces_its_own_comparison(run_folder: Path) -> None:
    (run_folder / "manifest.jsonl").unlink()
    evaluated(run_folder / "evaluation")
    section = parse_page(write_report(run_folder).read_text(encoding="utf-8")).named("figures")
    assert ["WER ↓", "0.200", "0.200"] in section.rows
    (run_folder / "evaluation" / "metrics.json").write_text("{")
    section = parse_page(write_report(run_folder).read_text(encoding="utf-8")).named("figures")
    assert "cannot be read" in section.text


def test_a_sweep_gets_its_tables_plots_and_recipes(tmp_path: Path) -> None:
    page = parse_page(write_report(swept(tmp_path)).read_text(encoding="utf-8"))
    assert "4 cells, 4 of them trained, over training.epochs, seed." in page.text
    results = page.named("results")
    assert "best by validation loss: training.epochs=1" in results.text
    assert [row[:3] for row in results.all("table")[0].rows[1:2]] == [["training.epochs=1,seed=0", "1", "0"]]
    means = dict(zip(*results.all("table")[1].rows[:2], strict=True))
    assert (means["seeds"], means["validation_loss"]) == ("2", "1.500 ± 0.707")
    labels = [figure.all("figcaption")[0].text for figure in page.named("plots").all("figure")]
    assert "test_loss by training.epochs" in labels
    assert "All cells have training.batch_size=4." in page.named("settings").text


def test_a_sweep_shows_the_measures_that_it_was_asked_for(tmp_path: Path) -> None:
    table = [{"cell": "a", "training.epochs": 1, "seed": 0, "test_speaker_accuracy": 0.25, "seconds": 1.0}]
    page = parse_page(write_report(swept(tmp_path, table=table)).read_text(encoding="utf-8"))
    labels = [figure.all("figcaption")[0].text for figure in page.named("plots").all("figure")]
    assert labels == ["validation_speaker_accuracy by training.epochs", "test_speaker_accuracy by training.epochs"]


def test_a_sweep_that_has_not_begun_says_so(tmp_path: Path) -> None:
    page = parse_page(write_report(swept(tmp_path, cells={}, about={})).read_text(encoding="utf-8"))
    assert "No cell has been trained yet." in page.text
    assert "No cell has a figure to plot yet." in page.text
    assert not page.all("svg")


def test_recordings_are_for_runs_only(tmp_path: Path) -> None:
    with pytest.raises(VczooError, match="leave data out"):
        write_report(swept(tmp_path), data=tmp_path)


def test_a_folder_of_something_else_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"loss": 1.0}))
    with pytest.raises(RunError, match="no run is here"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
