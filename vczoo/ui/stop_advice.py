"""Advice on when to stop a fine-tune, from its curves on held-out speech.

A curve moves if the mean of its last epochs differs from that of the epochs before by more than its noise explains.
Training is worth continuing while a curve moves for the better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

__all__ = ["StopAdvice", "stop_advice"]

WINDOW = 3  # epochs that are averaged
FEWEST = 2 * WINDOW
BEYOND = 2.0  # standard errors of the difference of two means: noise alone is beyond in about one of twenty
# Each curve of a line of metrics.jsonl, with the sign that makes more of it better.
CURVES = {"loss": ("held-out loss", -1), "similarity": ("similarity", 1), "character_error": ("wrong characters", -1)}


class StopAdvice(NamedTuple):
    """Whether to stop.

    Attributes:
        stop: Whether more training would not help.
        reason: Why, in one sentence with figures.
    """

    stop: bool
    reason: str


def stop_advice(history: Sequence[Mapping[str, Any]]) -> StopAdvice:
    """Say whether a fine-tune still improves.

    Args:
        history: One record per epoch, as in metrics.jsonl: `train` and `validation` with their figures.
    """
    if len(history) < FEWEST:
        return StopAdvice(False, f"Too early to say: this takes {FEWEST} epochs, and {len(history)} are done.")
    better: list[str] = []
    worse: list[str] = []
    level: list[str] = []
    for name, (label, sign) in CURVES.items():
        values = [record["validation"][name] for record in history if name in record.get("validation", {})]
        if len(values) < FEWEST:
            continue
        before, after = fmean(values[-2 * WINDOW : -WINDOW]), fmean(values[-WINDOW:])
        sentence = f"{label} {before:.3f} → {after:.3f}"
        gain, margin = sign * (after - before), BEYOND * noise(values) * math.sqrt(2 / WINDOW)
        (better if gain > margin else worse if gain < -margin else level).append(sentence)
    epochs = f"over the last {WINDOW} epochs, against the {WINDOW} before"
    if better:
        return StopAdvice(False, f"Still improving {epochs}: {'; '.join(better)}.")
    if worse and _training_improves(history):
        return StopAdvice(
            True,
            f"Stop here: it is learning these recordings by heart. {epochs.capitalize()}: {'; '.join(worse)}, while "
            "the training loss still falls.",
        )
    if worse:
        return StopAdvice(True, f"Stop here: it is getting worse {epochs}: {'; '.join(worse)}.")
    if level:
        return StopAdvice(True, f"Stop here: nothing moves beyond its noise {epochs}: {'; '.join(level)}.")
    return StopAdvice(False, "There is no held-out speech to judge by; add more recordings.")


def noise(values: Sequence[float]) -> float:
    """The standard deviation of a curve around its course, from its second differences, which a trend leaves small.

    The median makes it robust to a few jumps. Independent noise of deviation s gives second differences of deviation
    s · √6, and 0.6745 is the median of an absolute normal deviate.
    """
    second = [
        abs(later - 2 * here + earlier) for earlier, here, later in zip(values, values[1:], values[2:], strict=False)
    ]
    return median(second) / (0.6745 * math.sqrt(6)) if second else 0.0


def _training_improves(history: Sequence[Mapping[str, Any]]) -> bool:
    losses = [record["train"]["loss"] for record in history]
    return fmean(losses[-WINDOW:]) < fmean(losses[-2 * WINDOW : -WINDOW])
