"""Samplers of a sweep: what random and Optuna choose, and what is refused."""

from __future__ import annotations

import sys

import pytest

from vczoo.errors import PluginError, VczooError
from vczoo.training.sweeps.grid import Settings, read_grid, settings_of
from vczoo.training.sweeps.sampling import Sampling, check_sampling, drawn_settings, suggested_settings

AXES = read_grid({"rate": [0.3, 0.1, 0.2, 0.4, 0.5], "kind": ["a", "b", "c", [1, 2]]})


def test_random_draws_different_cells_and_more_cells_begin_with_the_same() -> None:
    eight = drawn_settings(AXES, 8, seed=3)
    assert all(settings in settings_of(AXES) for settings in eight)
    assert len({str(settings) for settings in eight}) == 8
    assert drawn_settings(AXES, 12, seed=3)[:8] == eight
    assert drawn_settings(AXES, 8, seed=4) != eight
    whole = drawn_settings(AXES, 20, seed=3)
    assert sorted(map(str, whole)) == sorted(map(str, settings_of(AXES)))


def test_random_draws_from_grids_too_large_to_list() -> None:
    axes = read_grid({f"axis{n}": list(range(10)) for n in range(20)}, most=float("inf"))
    assert len(drawn_settings(axes, 5, seed=0)) == 5


def error(settings: Settings) -> float:
    return abs(settings["rate"] - 0.4) + (0 if settings["kind"] == "c" else 1)


def searched(seed: int, count: int) -> list[Settings]:
    tried: list[tuple[Settings, float]] = []
    for _ in range(count):
        order = sorted({value for _, value in tried})
        ranks = [(settings, order.index(value)) for settings, value in tried]
        (settings,) = suggested_settings(AXES, ranks, 1, seed)
        tried.append((settings, error(settings)))
    return [settings for settings, _ in tried]


def test_optuna_suggests_the_same_cells_for_the_same_results() -> None:
    pytest.importorskip("optuna")
    first = searched(seed=1, count=12)
    assert searched(seed=1, count=12) == first
    assert len({str(settings) for settings in first}) == 12


def test_optuna_suggests_cells_like_the_best() -> None:
    pytest.importorskip("optuna")
    axes = read_grid({"rate": list(range(100)), "kind": ["a", "b"]})
    ranks = [({"rate": rate, "kind": kind}, rate // 10) for rate in range(5, 100, 10) for kind in ("a", "b")]
    suggested = [settings["rate"] for seed in range(10) for settings in suggested_settings(axes, ranks, 1, seed)]
    assert sum(suggested) / len(suggested) < 35  # of random ones the mean is 49.5


def test_optuna_gives_what_is_left_and_takes_failures() -> None:
    pytest.importorskip("optuna")
    cells = settings_of(AXES)
    left = suggested_settings(AXES, [(settings, None) for settings in cells[:17]], 3, seed=0)
    assert sorted(map(str, left)) == sorted(map(str, cells[17:]))


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (Sampling("grid", 3), "the grid sampler trains every cell"),
        (Sampling("random"), "needs the number of cells to train: --cells 20"),
        (Sampling("random", 0), "between 1 and the 20 cells of the grid, got 0"),
        (Sampling("random", 21), "between 1 and the 20 cells of the grid, got 21"),
        (Sampling("randm", 3), "did you mean 'random'"),  # type: ignore[arg-type]
    ],
)
def test_a_sampling_that_does_not_fit_is_refused(sampling: Sampling, message: str) -> None:
    with pytest.raises(VczooError, match=message):
        check_sampling(sampling, AXES)


def test_optuna_does_not_choose_seeds() -> None:
    with pytest.raises(VczooError, match="luckiest seed"):
        check_sampling(Sampling("optuna", 2), read_grid({"seed": [1, 2], "a": [1, 2]}))


def test_without_optuna_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(PluginError, match=r"--sampler optuna needs optuna.*\[sweep\]"):
        check_sampling(Sampling("optuna", 2), AXES)
