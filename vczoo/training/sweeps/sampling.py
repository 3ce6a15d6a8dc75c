"""Samplers of a sweep: which cells of the grid it trains.

`grid` trains every cell, `random` draws cells, and `optuna` chooses each cell by the results of those before it. The
draws depend only on the seed and on what has been trained, so that a sweep can be resumed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vczoo.errors import VczooError
from vczoo.io.optional_imports import require
from vczoo.io.text import counted, nearest
from vczoo.training.sweeps.grid import SEED, Axis, Settings

__all__ = ["SAMPLERS", "Sampler", "Sampling", "check_sampling", "drawn_settings", "suggested_settings"]

Sampler = Literal["grid", "random", "optuna"]
SAMPLERS: tuple[Sampler, ...] = ("grid", "random", "optuna")
_ATTEMPTS = 20  # of Optuna to suggest a cell that is not trained yet; then one is drawn


@dataclass(frozen=True)
class Sampling:
    """How a sweep chooses its cells.

    Attributes:
        sampler: `grid` for all cells of the grid, `random` or `optuna`.
        count: The number of cells to train; None for all.
        seed: The seed of the draws.
    """

    sampler: Sampler = "grid"
    count: int | None = None
    seed: int = 0

    def to_plain(self) -> dict[str, Any]:
        """The sampling as plain values, for sweep.json; empty for a grid."""
        return {} if self.sampler == "grid" else dict(vars(self))


def check_sampling(sampling: Sampling, axes: Sequence[Axis]) -> None:
    """Check that the cells can be chosen from a grid.

    Raises:
        VczooError: The sampler is unknown, or the number of cells does not fit it or the grid.
        PluginError: The sampler is `optuna`, and Optuna is not installed.
    """
    sampler, count = sampling.sampler, sampling.count
    size = math.prod(len(axis.values) for axis in axes)
    if sampler not in SAMPLERS:
        raise VczooError(
            f"no sampler is called {sampler!r}{nearest(sampler, SAMPLERS)} Samplers: {', '.join(SAMPLERS)}"
        )
    if sampler == "grid":
        if count is not None:
            raise VczooError("the grid sampler trains every cell; for a part of them, use --sampler random or optuna")
        return
    if count is None:
        raise VczooError(f"sampler {sampler} needs the number of cells to train: --cells 20")
    if not 1 <= count <= size:
        raise VczooError(f"cells must be between 1 and the {counted(size, 'cell')} of the grid, got {count}")
    if sampler == "optuna":
        if any(axis.name == SEED for axis in axes):
            raise VczooError(
                "Optuna would look for the luckiest seed; remove the seed axis, and repeat the best cells with several "
                "seeds afterwards"
            )
        require("optuna", "--sampler optuna", "sweep")


def drawn_settings(axes: Sequence[Axis], count: int, seed: int) -> list[Settings]:
    """Different random combinations of a grid. With the same seed, a larger number begins with the same ones.

    Args:
        axes: The axes of the grid.
        count: The number of combinations; at most as many as there are.
        seed: The seed of the draws.
    """
    generator, size = random.Random(seed), math.prod(len(axis.values) for axis in axes)
    places: dict[int, None] = {}
    while len(places) < count:
        places[generator.randrange(size)] = None
    return [_settings_at(axes, place) for place in places]


def suggested_settings(
    axes: Sequence[Axis], tried: Sequence[tuple[Settings, int | None]], count: int, seed: int
) -> list[Settings]:
    """The combinations that Optuna's TPE sampler suggests next (Bergstra et al., NeurIPS 2011).

    The suggestions depend only on the arguments. The first ten combinations of a sweep are random.

    Args:
        axes: The axes of the grid. The sampler knows the order of numbers, and takes other values as categories.
        tried: The combinations so far, in the order in which they were chosen, each with its rank (0 is the best) or
            None if it failed.
        count: The number of combinations to suggest. There must be as many that are not tried yet.
        seed: The seed of the sweep.

    Raises:
        PluginError: Optuna is not installed.
    """
    optuna = require("optuna", "--sampler optuna", "sweep")
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        # A new study and a new seed each time: the state of a sampler could not be restored after an interruption.
        generator = random.Random(f"{seed} {len(tried)}")
        sampler = optuna.samplers.TPESampler(seed=generator.getrandbits(32), constant_liar=True)
        study = optuna.create_study(sampler=sampler)
        ordered = [sorted(axis.values) if axis.numeric else list(axis.values) for axis in axes]
        places = {
            axis.name: optuna.distributions.IntDistribution(0, len(axis.values) - 1)
            if axis.numeric
            else optuna.distributions.CategoricalDistribution(list(range(len(axis.values))))
            for axis in axes
        }
        for settings, rank in tried:
            study.add_trial(
                optuna.trial.create_trial(
                    params={a.name: v.index(settings[a.name]) for a, v in zip(axes, ordered, strict=True)},
                    distributions=places,
                    value=rank,
                    state=optuna.trial.TrialState.FAIL if rank is None else optuna.trial.TrialState.COMPLETE,
                )
            )
        used = [settings for settings, _ in tried]
        chosen: list[Settings] = []
        for _ in range(_ATTEMPTS * count):
            if len(chosen) == count:
                break
            trial = study.ask(places)
            settings = {a.name: v[trial.params[a.name]] for a, v in zip(axes, ordered, strict=True)}
            if settings in used:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                chosen.append(settings)
                used.append(settings)
    finally:
        optuna.logging.set_verbosity(verbosity)
    size = math.prod(len(axis.values) for axis in axes)
    while len(chosen) < count:
        settings = _settings_at(axes, generator.randrange(size))
        if settings not in used:
            chosen.append(settings)
            used.append(settings)
    return chosen


def _settings_at(axes: Sequence[Axis], place: int) -> Settings:
    """The combination at a place in the order of the grid."""
    settings: Settings = {}
    for axis in reversed(axes):
        place, index = divmod(place, len(axis.values))
        settings[axis.name] = axis.values[index]
    return {axis.name: settings[axis.name] for axis in axes}
