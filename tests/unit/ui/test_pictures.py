from __future__ import annotations

import pytest

from vczoo.ui.pictures import curves_svg

RECORDS = [{"epoch": epoch, "train": {"loss": 1.0}, "validation": {"loss": 2.0}} for epoch in range(2)]


def test_the_loss_of_steps_is_drawn_before_the_first_epoch_ends() -> None:
    drawing = curves_svg([], [(0.25, 3.0), (0.5, 2.0)])
    assert drawing.startswith("<svg")
    assert "Loss" in drawing
    assert "Similarity" not in drawing


@pytest.mark.parametrize("losses", [[], [(0.5, 3.0), (1.0, 2.0)]])
def test_the_steps_are_named_where_there_are_some(losses: list[tuple[float, float]]) -> None:
    assert ("each step" in curves_svg(RECORDS, losses)) == bool(losses)
