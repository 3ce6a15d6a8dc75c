"""Rows of a batch, run a few at a time."""

import torch

from vczoo_transformers.windowing import FRAMES_AT_ONCE, by_rows


def test_rows_run_some_at_a_time_without_gradients() -> None:
    seen: list[int] = []

    def double(rows: torch.Tensor) -> torch.Tensor:
        seen.append(len(rows))
        return 2 * rows

    values = torch.randn(5, 3)
    assert torch.equal(by_rows(double, values, FRAMES_AT_ONCE // 2), 2 * values)
    with torch.no_grad():
        assert torch.equal(by_rows(double, values, FRAMES_AT_ONCE // 2), 2 * values)
    assert seen == [5, 2, 2, 1]
