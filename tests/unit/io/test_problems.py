"""Faults are collected with the place that they are about, and reported together."""

from __future__ import annotations

import pytest

from vczoo.errors import ContractError, RecipeError, WeightsError
from vczoo.io.problems import Problems


def test_all_faults_are_in_one_error() -> None:
    problems = Problems()
    problems.raise_if_any("mine")
    assert not problems
    with problems.at("backbone"):
        raise ContractError("too wide")
    with problems.at("vocoder"):
        raise ImportError("No module named 'vocos'")
    with problems.at("heads.voice"):
        pass
    assert problems.faults == ["backbone: too wide", "vocoder: No module named 'vocos'"]
    with pytest.raises(RecipeError, match="recipe 'mine' has 2 faults:\n  - backbone: too wide\n  - vocoder: No"):
        problems.raise_if_any("mine")


def test_what_passes_and_what_is_no_fault_is_raised() -> None:
    problems = Problems()
    with pytest.raises(WeightsError), problems.at("vocoder", passing=WeightsError):
        raise WeightsError("no network")
    with pytest.raises(ZeroDivisionError), problems.at("vocoder"):
        1 // 0  # noqa: B018
    assert not problems
