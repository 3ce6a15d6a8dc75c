"""Confusion matrices: counts, intervals, and the plot."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.colors import contrast
from vczoo.io.plotting import BLUE, DARK, INK, PAPER
from vczoo.reporting.confusion import PALEST, SHADES, confusion_figure, matrix_of, wilson


def test_pairs_are_counted_by_truth_and_prediction() -> None:
    matrix = matrix_of(["a", "b"], [("a", 0), ("a", 1), ("b", 1), ("a", 1)])
    assert matrix.tolist() == [[1, 2], [0, 1]]


def test_wilsons_interval() -> None:
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)  # as R's binom.confint
    assert wilson(0, 5)[0] == 0.0
    assert wilson(5, 5)[1] == 1.0


def test_the_plot_numbers_few_classes_and_only_shades_many() -> None:
    few = confusion_figure(["a", "b"], np.array([[3, 0], [1, 2]]), "t").axes[0]
    assert sorted(text.get_text() for text in few.texts) == ["1", "2", "3"]
    assert (few.get_xlabel(), few.get_ylabel()) == ("predicted", "true")
    assert [patch.get_alpha() for patch in few.patches] == pytest.approx([0.7, 0.3, 0.5])
    many = confusion_figure([f"n{n}" for n in range(30)], np.eye(30, dtype=np.int64), "t").axes[0]
    assert not many.texts
    assert len(many.patches) == 30


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_number_of_a_cell_is_legible(dark: bool, share: float) -> None:
    blue, paper, ink = (DARK[color] if dark else color for color in (BLUE, PAPER, INK))
    opacity = PALEST + SHADES * share
    channels = [[int(color[place : place + 2], 16) for place in (1, 3, 5)] for color in (blue, paper)]
    mixed = [round(opacity * front + (1 - opacity) * back) for front, back in zip(*channels, strict=True)]
    assert contrast(ink, "#{:02x}{:02x}{:02x}".format(*mixed)) >= 4.5
