"""Results files: rows as they were, appended in one step, and other files refused and left alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from vczoo.errors import RunError
from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.evaluation.report import Scores
from vczoo.evaluation.results import (
    COLUMNS,
    Result,
    append_results,
    check_results,
    read_results,
    result_rows,
    results_of,
)

ABOUT = {
    "measured_at": "2026-01-02T03:04:05Z",
    "recipe": "demo",
    "weights": 'mine, "the" second',
    "weights_sha256": "ab" * 32,
    "trials": "trials.csv",
    "trials_sha256": "cd" * 32,
    "trial_count": 2,
    "machine": "Linux x86_64, 2 cores, cpu",
    "versions": "python 3.11.2, vczoo 0.1.0",
    "threads": 1,
    "seed": 0,
    "speaker_model": "resemblyzer",
    "asr": "moonshine",
    "words_against": "transcripts",
}


def some(recipe: str = "demo", value: float = 0.1 + 0.2) -> list[Result]:
    figures = {"similarity_to_target": Figure(value, 0.25, 0.35, 2), "eer": Figure(0.5, math.nan, math.nan, 1)}
    scores = (
        Scores("unconverted source", "floor", {"wer": Figure(0, 0, 0, 2)}),
        Scores(recipe, "system", figures),
    )
    return results_of(scores, {**ABOUT, "recipe": recipe})


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    append_results(file, some())
    assert file.read_text().splitlines()[0] == (
        "format,measured_at,recipe,weights,weights_sha256,trials,trials_sha256,trial_count,machine,versions,threads,"
        "seed,speaker_model,asr,words_against,system,role,figure,value,low,high,count"
    )
    floor, similarity, eer = read_results(file)
    assert (floor, similarity) == tuple(some()[:2])
    assert similarity.value == 0.1 + 0.2, "all digits are kept"
    assert math.isnan(eer.low)
    assert replace(eer, low=0.0, high=0.0) == replace(some()[2], low=0.0, high=0.0)
    append_results(file, some("other"))
    assert [one.recipe for one in read_results(file)] == ["demo"] * 3 + ["other"] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"], "no lock or partial file stays"


def test_the_table_has_a_row_per_system_and_a_floor_once() -> None:
    first, second, third = result_rows([*some(), *some("other", 0.75)])
    assert (first["system"], first["weights"], list(first["figures"])) == ("unconverted source", "", ["wer"])
    assert [row["system"] for row in (second, third)] == ["demo", "other"]
    assert third["figures"]["similarity_to_target"] == Figure(0.75, 0.25, 0.35, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,speaker\na.wav,bob\n", r"not a results file of format 1 \(missing: format, .*; unknown: path, speaker"),
        ("", "missing: format"),
        (",".join(reversed(COLUMNS)) + "\n", "its columns are in another order"),
        (",".join(COLUMNS) + "\n1,2\n", "line 2: expected 22 cells, got 2"),
        (",".join(COLUMNS) + "\n2" + "," * 21 + "\n", "line 2: the format is '2', expected 1"),
        (",".join(COLUMNS) + "\n1" + ",,,,,,,two" + "," * 14 + "\n", "line 2: trial_count is 'two', expected a number"),
    ],
)
def test_another_file_is_refused_and_left_as_it_was(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "results.csv"
    file.write_text(content)
    for refused in (lambda: append_results(file, some()), lambda: check_results(file)):
        with pytest.raises(RunError, match=message):
            refused()
    assert file.read_text() == content


def test_a_file_that_cannot_be_made_is_found_early(tmp_path: Path) -> None:
    check_results(tmp_path / "new.csv")
    assert not (tmp_path / "new.csv").exists()
    with pytest.raises(RunError, match="there is no folder"):
        check_results(tmp_path / "away" / "new.csv")
    with pytest.raises(RunError, match="cannot be read"):
        read_results(tmp_path / "new.csv")
