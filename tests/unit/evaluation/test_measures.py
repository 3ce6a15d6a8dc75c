"""Metrics of an evaluation: loaded by name, of one name, and their place in the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError, VczooError
from vczoo.evaluation.measures import Measures, load_metric, measure
from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.evaluation.metrics.f0_contour import F0Contour
from vczoo.evaluation.report import Report, Scores
from vczoo.modules.interfaces.metric import Case, Column, Metric


class Peak(Metric):
    """The largest sample."""

    def __init__(self, name: str = "peak", value: float = math.nan) -> None:
        self.columns = (Column(name, "peak", higher_is_better=True),)
        self.value = value

    def measure(self, case: Case) -> Mapping[str, float]:
        return {self.columns[0].name: self.value}


SPEAKER: Any = object()
CASE = Case(Waveform.of(torch.full((1, 1600), 0.1), 16000))


def test_a_built_in_metric_is_found_by_name() -> None:
    assert isinstance(load_metric("f0-contour"), F0Contour)


def test_an_unknown_metric_lists_the_nearest() -> None:
    with pytest.raises(VczooError, match="did you mean 'f0-contour'"):
        load_metric("f0-contours")


def test_two_metrics_with_a_figure_of_one_name_are_refused() -> None:
    with pytest.raises(VczooError, match=r"metric 'b' computes 'peak', and so does metric 'a'; leave out one"):
        Measures(SPEAKER, metrics={"a": Peak(), "b": Peak()})
    with pytest.raises(VczooError, match=r"metric 'a' computes 'mcd_db', and so does vczoo"):
        Measures(SPEAKER, metrics={"a": Peak("mcd_db")})
    assert Measures(SPEAKER, metrics={"a": Peak(), "b": Peak("loudness")})


def test_a_figure_with_a_colon_would_be_taken_for_that_of_an_asr() -> None:
    with pytest.raises(ContractError, match="metric 'a' has a figure called 'wer:mine'"):
        Measures(SPEAKER, metrics={"a": Peak("wer:mine")})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_figure_that_is_not_finite_names_its_metric(value: float) -> None:
    with pytest.raises(ContractError, match=f"metric 'a': peak is {value}, expected a finite number"):
        measure("a", Peak(value=value), CASE)
    assert measure("a", Peak(value=1), CASE) == {"peak": 1.0}


def test_a_column_says_which_direction_is_better() -> None:
    assert Column("a", "level dB", higher_is_better=False).heading == "level dB ↓"
    assert Column("a", "level dB", higher_is_better=True).heading == "level dB ↑"


def test_figures_of_further_metrics_are_the_last_columns_and_in_metrics_json() -> None:
    figures = {"eer": Figure(0.5, 0.4, 0.6, 9), "peak": Figure(0.25, 0.2, 0.3, 9)}
    plain = Scores("mine", "system", {"eer": figures["eer"]})
    further = Scores("other", "system", figures, headings={"peak": "peak ↑"})
    rows = Report((plain, further)).rows()
    assert list(rows[1]) == ["system", "EER ↑", "peak ↑"]
    assert (rows[0]["peak ↑"], rows[1]["peak ↑"]) == ("", "0.250 ±0.050")
    systems = Report((plain, further)).to_plain()["systems"]
    assert "headings" not in systems[0]
    assert systems[1]["headings"] == {"peak": "peak ↑"}
