"""`vczoo results`: the table of results files, and the same as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.cli.conftest import Command
from tests.unit.evaluation.test_results import some
from vczoo.evaluation.results import append_results


def test_results_of_several_files_are_one_table(command: Command, tmp_path: Path) -> None:
    append_results(tmp_path / "a.csv", some())
    append_results(tmp_path / "b.csv", some("other", 0.75))
    status, out, _ = command("results", tmp_path / "a.csv", tmp_path / "b.csv")
    assert status == 0
    heading, floor, first, second = out.rstrip().splitlines()
    assert heading.split()[:5] == ["system", "weights", "trials", "wer", "similarity_to_target"]
    assert floor.startswith("unconverted source")
    assert "abababababab" in first
    assert "0.300 ±0.050" in first
    assert "0.750 ±0.050" in second


def test_results_as_json_hold_all_digits(command: Command, tmp_path: Path) -> None:
    append_results(tmp_path / "a.csv", some())
    _, row = json.loads(command("results", tmp_path / "a.csv", "--json")[1])
    assert row["figures"]["similarity_to_target"] == {"value": 0.1 + 0.2, "low": 0.25, "high": 0.35, "count": 2}
    assert row["figures"]["eer"]["low"] is None


def test_another_file_is_an_error(command: Command, tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,speaker\n")
    status, _, error = command("results", tmp_path / "manifest.csv")
    assert status == 1
    assert "is not a results file of format 1" in error


def test_figures_of_heads_are_not_kept_in_results(command: Command, tmp_path: Path) -> None:
    status, _, error = command("evaluate", "demo", "--data", "words.csv", "--results", tmp_path / "a.csv")
    assert status == 1
    assert "--results keeps the figures of conversions" in error
    assert not (tmp_path / "a.csv").exists()
