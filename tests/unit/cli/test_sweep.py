"""The table of a sweep on a terminal."""

from __future__ import annotations

import sys

import pytest

from vczoo.cli.sweep import _print_fitting

ROW = {
    "freezing.trainable_stages": "0",
    "minutes": "0.5",
    "validation_speaker_accuracy": "0.500",
    "validation_loss": "0.812",
    "test_speaker_accuracy": "0.250",
    "test_similarity": "0.701",
    "test_loss": "0.840",
    "seconds": "12.3",
    "epochs": "12",
    "trainable_parameters": "3622196",
    "minutes_used": "0.450",
}


def test_a_terminal_shows_the_columns_that_fit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _print_fitting([ROW])
    *table, last = capsys.readouterr().out.splitlines()
    assert max(map(len, table)) <= 80
    assert [line.split()[0] for line in table] == ["freezing.", "trainable_", "stages", "0"]
    assert table[-1].split() == list(ROW.values())[:7]
    assert last == "not shown, but in table.csv: seconds, epochs, trainable_parameters, minutes_used"


def test_a_pipe_gets_every_column_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    _print_fitting([ROW])
    heading, values = capsys.readouterr().out.splitlines()
    assert heading.split() == list(ROW)
    assert values.split() == list(ROW.values())
