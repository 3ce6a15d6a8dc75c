"""The tables of the freezing bench: intervals, differences, the Pareto front, and what is read from CSV again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.quality.freezing_plots import draw
from benchmarks.quality.freezing_table import (
    KEY,
    bootstrap,
    merge_rows,
    pareto_front,
    read_rows,
    summary,
    write_rows,
)

DEFAULTS = {"base": "last-1"}


def cell(strategy: str, seed: int, similarities: list[float], **values: Any) -> dict[str, Any]:
    return {
        "part": "base",
        "strategy": strategy,
        "minutes": 0.5,
        "seed": seed,
        "voice": "19",
        "minutes_used": 0.45,
        "cpu_seconds": 10.0 + seed,
        "seconds": 20.0,
        "bytes": 17000,
        "trainable_parameters": 2688,
        "epochs": 24.0,
        "similarities": similarities,
        "word_errors": [1.0, 0.0],
        "words": [10.0, 30.0],
        "right": [],
        "machine": "a machine",
        "versions": "python 3.11",
        **values,
    }


def test_the_front_has_the_points_that_no_other_beats() -> None:
    #         0: cheap      1: beaten by 0  2: on the front  3: beaten by 2  4: the best, the dearest  5: equal to 2
    points = [(1.0, 0.50), (2.0, 0.50), (3.0, 0.80), (4.0, 0.70), (9.0, 0.90), (3.0, 0.80)]
    assert pareto_front(points) == [0, 2, 4]


def test_of_two_that_cost_the_same_the_better_is_on_the_front() -> None:
    assert pareto_front([(1.0, 0.1), (1.0, 0.2)]) == [1]
    assert pareto_front([]) == []


def test_the_summary_has_means_over_seeds_and_their_deviation() -> None:
    cells = [cell("last-1", 0, [0.8, 0.9]), cell("last-1", 1, [0.6, 0.7]), cell("film-only", 0, [0.7, 0.8])]
    default, film = summary(cells, DEFAULTS)
    assert default["similarity"] == pytest.approx(0.75)
    assert default["similarity_seeds_std"] == pytest.approx(0.2 / 2**0.5)
    assert 0.6 <= default["similarity_low"] < 0.75 < default["similarity_high"] <= 0.9
    assert default["wer"] == pytest.approx(1 / 40)  # the sum of errors over that of words, not a mean of rates
    assert default["similarity_difference"] is None
    assert (default["seeds"], default["cpu_seconds"], default["cpu_seconds_high"]) == (2, 10.5, 11.0)
    assert default["accuracy"] is None
    # Only the shared seed counts, and both of its trials differ by as much, so the interval is a point.
    ends = (film["similarity_difference"], film["similarity_difference_low"], film["similarity_difference_high"])
    assert ends == pytest.approx((-0.1, -0.1, -0.1))
    assert film["similarity_seeds_std"] is None


def test_a_difference_is_surer_than_the_figures_that_it_is_of() -> None:
    random = np.random.default_rng(1)
    seeds = [np.stack([random.random(6) + 0.1 * seed, np.ones(6)], axis=1) for seed in range(3)]
    better = [np.stack([trials[:, 0] + 0.05, trials[:, 1]], axis=1) for trials in seeds]
    value, (low, high) = bootstrap(better, seeds)
    assert (value, low, high) == pytest.approx((0.05, 0.05, 0.05))
    low, high = bootstrap(seeds)[1]
    assert low is not None
    assert high is not None
    assert high - low > 0.1
    assert bootstrap([np.array([[0.5, 1.0]])]) == (0.5, (None, None))  # one trial says nothing about others


def test_rows_are_read_as_they_were_written_and_replace_those_of_the_same_cell(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    rows = [cell("film-only", 1, [0.7, 0.8], cpu_seconds=None), cell("film-only", 0, [0.6, 0.7])]
    assert read_rows(path) == []
    write_rows(path, merge_rows([], rows))
    assert read_rows(path) == [rows[1], rows[0]]
    newer = cell("film-only", 0, [0.9, 0.9])
    merged = merge_rows(read_rows(path), [newer, cell("last-1", 0, [0.5, 0.5])])
    assert [[row[name] for name in KEY] for row in merged] == [
        ["base", "film-only", 0.5, 0],
        ["base", "film-only", 0.5, 1],
        ["base", "last-1", 0.5, 0],
    ]
    assert merged[0]["similarities"] == [0.9, 0.9]


def test_each_part_has_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    cells = [cell("last-1", 0, [0.8, 0.9], bytes=16_000_000), cell("film-only", 0, [0.7, 0.8])]
    cells.append(cell("enrolled", 0, [0.5, 0.6]))
    assert draw(summary(cells, DEFAULTS), tmp_path) == [tmp_path / "freezing-base.svg"]
    text = (tmp_path / "freezing-base.svg").read_text(encoding="utf-8")
    assert "<svg" in text
