"""Data frames of sweeps and reports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vczoo.errors import PluginError
from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.evaluation.report import Report, Scores
from vczoo.training.sweeps.state import State
from vczoo.training.sweeps.sweep import Sweep
from vczoo.training.sweeps.table import Table

STATE = State(
    axes={"a": [1, 2]},
    cells={
        "a=1": {"settings": {"a": 1}, "status": "done", "metrics": {"validation": {"loss": 0.5}, "epochs": 3}},
        "a=2": {"settings": {"a": 2}, "status": "failed", "reason": "diverged"},
    },
)


def test_a_sweep_is_a_data_frame_with_the_columns_of_its_table() -> None:
    pytest.importorskip("pandas")
    sweep = Sweep(Path("out"), Table.of(STATE, None))
    frame = sweep.to_pandas()
    assert list(frame.columns) == list(sweep.rows()[0])
    assert frame["a"].tolist() == [1, 2]
    assert frame["validation_loss"].isna().tolist() == [False, True]
    assert frame.loc[1, "reason"] == "diverged"


def test_a_report_is_a_data_frame_with_intervals() -> None:
    pytest.importorskip("pandas")
    report = Report(
        (
            Scores("source", "floor", {"wer": Figure(0.25, 0.125, 0.5, 4)}),
            Scores("mine", "system", {"eer": Figure(0.5, 0.25, 0.75, 4)}, finetune_seconds=3.0),
        )
    )
    frame = report.to_pandas()
    assert frame.loc[0, ["system", "role", "wer", "wer_low", "wer_high"]].tolist() == [
        "source", "floor", 0.25, 0.125, 0.5
    ]  # fmt: skip
    assert frame["eer"].isna().tolist() == [True, False]
    assert frame.loc[1, "finetune_seconds"] == 3.0


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(PluginError, match="pip install pandas"):
        Sweep(Path("out"), Table.of(STATE, None)).to_pandas()
