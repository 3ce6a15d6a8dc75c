"""Bootstrap confidence intervals: the mean or rate of per-trial measurements with its 95% interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESAMPLES", "Figure", "figure", "stratified"]

RESAMPLES = 1000
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Figure:
    """A measured number with its confidence interval.

    Attributes:
        value: The number over all trials.
        low, high: Ends of the 95% interval, from the percentiles of a bootstrap; NaN if there is only one trial, or one
            group of trials, which says nothing about others.
        count: Number of trials on which it could be measured.
    """

    value: float
    low: float
    high: float
    count: int

    def text(self) -> str:
        """Return the number with half the width of its interval, as in `0.853 ±0.012`."""
        half = (self.high - self.low) / 2
        return f"{self.value:.3f}" if math.isnan(half) else f"{self.value:.3f} ±{half:.3f}"


def figure(
    amounts: Sequence[float],
    sizes: Sequence[float] | None = None,
    groups: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> Figure | None:
    """Compute a mean or, with `sizes`, a corpus-level rate (sum of amounts over sum of sizes), with its interval.

    Args:
        amounts: One number per trial, such as a similarity or the number of wrong words.
        sizes: One number per trial, such as the number of words. None for a plain mean.
        groups: Group of each trial, such as its recording; trials of one group are resampled together. None if every
            trial is its own group.
        seed: Seed of the bootstrap resampling.

    Returns:
        The figure, or None if there are no trials or the sizes sum to 0. Resamples whose sizes sum to 0 are skipped.

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
    value = float(top.sum() / bottom.sum())
    if len(top) == 1:
        return Figure(value, math.nan, math.nan, len(amounts))
    drawn = np.random.default_rng(seed).integers(0, len(top), (RESAMPLES, len(top)))
    tops, bottoms = top[drawn].sum(axis=1), bottom[drawn].sum(axis=1)
    rates = tops[bottoms > 0] / bottoms[bottoms > 0]
    low, high = np.percentile(rates, PERCENTILES)
    return Figure(value, float(low), float(high), len(amounts))


def stratified(
    strata: Sequence[NDArray[np.float64]],
    statistic: Callable[[int, NDArray[np.float64]], float],
    *,
    seed: int = 0,
) -> Figure | None:
    """Average a statistic over strata; the bootstrap resamples trials only within their stratum.

    Args:
        strata: Arrays of shape (N, …), one row per trial.
        statistic: Function of a stratum's index and some of its rows.
        seed: Seed of the bootstrap resampling.
    """
    if not strata:
        return None
    count = sum(len(rows) for rows in strata)
    value = float(np.mean([statistic(number, rows) for number, rows in enumerate(strata)]))
    if count == len(strata):  # one trial in each, so that every resample is the same
        return Figure(value, math.nan, math.nan, count)
    random = np.random.default_rng(seed)
    means = [
        np.mean([statistic(i, rows[random.integers(0, len(rows), len(rows))]) for i, rows in enumerate(strata)])
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(means, PERCENTILES)
    return Figure(value, float(low), float(high), count)
