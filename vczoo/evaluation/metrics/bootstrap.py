"""What was measured on each trial in, a figure with its 95 % interval out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESAMPLES", "Figure", "figure", "stratified"]

RESAMPLES = 1000
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Figure:
    """A measured number.

    Attributes:
        value: over all trials.
        low, high: 95 % interval, percentiles of a bootstrap.
        count: of trials that it could be measured on.
    """

    value: float
    low: float
    high: float
    count: int


def figure(
    amounts: Sequence[float],
    sizes: Sequence[float] | None = None,
    groups: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> Figure | None:
    """The mean of amounts or, with sizes, the sum of amounts over the sum of sizes: a rate at corpus level.

    Args:
        amounts: one a trial: a similarity, or the wrong words.
        sizes: one a trial: the words that there are. None for a plain mean.
        groups: what each trial is of; trials of one group are drawn together, for recordings that serve in
            several trials. None where every trial is its own.
        seed: of the bootstrap.

    Returns:
        None where there is no trial or the sizes sum to 0. Resamples of size 0 are left out.

    Source:
        Percentile bootstrap over utterances, as in Bisani and Ney 2004 for word error rates.
    """
    if not len(amounts):
        return None
    names = list(groups) if groups is not None else [str(index) for index in range(len(amounts))]
    index_of = {name: index for index, name in enumerate(dict.fromkeys(names))}
    members = np.array([index_of[name] for name in names])
    weights = np.ones(len(amounts)) if sizes is None else np.asarray(sizes, dtype=float)
    top = np.bincount(members, weights=np.asarray(amounts, dtype=float))
    bottom = np.bincount(members, weights=weights)
    if bottom.sum() <= 0:
        return None
    drawn = np.random.default_rng(seed).integers(0, len(top), (RESAMPLES, len(top)))
    tops, bottoms = top[drawn].sum(axis=1), bottom[drawn].sum(axis=1)
    rates = tops[bottoms > 0] / bottoms[bottoms > 0]
    low, high = np.percentile(rates, PERCENTILES)
    return Figure(float(top.sum() / bottom.sum()), float(low), float(high), len(amounts))


def stratified(
    strata: Sequence[NDArray[np.float64]],
    statistic: Callable[[int, NDArray[np.float64]], float],
    *,
    seed: int = 0,
) -> Figure | None:
    """The mean over strata of a statistic of the trials in each; trials are drawn within their stratum.

    Args:
        strata: (N, …) each, one row a trial.
        statistic: of a stratum's number and some of its rows.
        seed: of the bootstrap.
    """
    if not strata:
        return None
    random = np.random.default_rng(seed)
    value = float(np.mean([statistic(number, rows) for number, rows in enumerate(strata)]))
    means = [
        np.mean([statistic(i, rows[random.integers(0, len(rows), len(rows))]) for i, rows in enumerate(strata)])
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(means, PERCENTILES)
    return Figure(value, float(low), float(high), sum(len(rows) for rows in strata))
