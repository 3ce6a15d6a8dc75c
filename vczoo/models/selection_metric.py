"""Selection metric: the score by which epochs are compared, and checks that a recipe can compute it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from vczoo.errors import CorpusError, RecipeError, VczooError

__all__ = ["Criterion", "best_epoch", "check_criterion", "criterion_faults", "needs_conversions", "score"]

Criterion = Literal["loss", "accuracy", "similarity", "character-error", "word-error", "recall"]

# Figures of heads: the last part of the figure's name, the sign that makes lower better, and the tasks that have it.
_HEAD_FIGURES: Mapping[str, tuple[str, float, tuple[str, ...]]] = {
    "accuracy": ("accuracy", -1.0, ("speaker", "label")),
    "recall": ("recall", -1.0, ("label",)),
    "word-error": ("wer", 1.0, ("text",)),
}
# Figures measured on held-out conversions, with the sign that makes lower better.
_CONVERSION_FIGURES: Mapping[str, tuple[str, float]] = {
    "similarity": ("similarity", -1.0),
    "character-error": ("character_error", 1.0),
}


def score(figures: Mapping[str, float], criterion: Criterion) -> tuple[float, ...]:
    """Score an epoch. The epoch with the lower tuple is better.

    Accuracy is the mean over the speaker and label heads, recall over the label heads, word error over the text heads.
    On a small validation split, all figures but the loss take few values, so the loss breaks ties. A figure that is
    NaN counts as infinite, so that it is never the best.

    Args:
        figures: Figures of the epoch's validation: `loss`, `<head>.accuracy`, `<head>.recall`, `<head>.wer` and, if
            conversions are measured, `similarity` and `character_error`.
        criterion: The recipe's `training.criterion`.

    Raises:
        VczooError: The figures lack the one that the criterion needs.
    """
    if criterion == "loss":
        return (_or_worst(figures["loss"]),)
    if criterion in _HEAD_FIGURES:
        name, sign, _ = _HEAD_FIGURES[criterion]
        values = [sign * value for key, value in figures.items() if key.endswith(f".{name}")]
    else:
        name, sign = _CONVERSION_FIGURES[criterion]
        values = [sign * figures[name]] if name in figures else []
    if not values:
        raise VczooError(
            f"training.criterion is {criterion}, but validation only measures {', '.join(figures)}; choose one of them"
        )
    return (_or_worst(sum(values) / len(values)), _or_worst(figures["loss"]))


def best_epoch(history: Sequence[Mapping[str, Any]], criterion: Criterion, keep: Literal["best", "last"]) -> int:
    """Choose the epoch whose weights are kept: the best, or the last. Of equally good epochs, the first is the best.

    Args:
        history: One record per epoch, as in metrics.jsonl; at least one.
        criterion: The recipe's `training.criterion`.
        keep: The recipe's `training.keep`.
    """
    if keep == "last":
        return int(history[-1]["epoch"])
    best = min(history, key=lambda record: score(record["validation"], criterion))
    return int(best["epoch"])


def _or_worst(value: float) -> float:
    return math.inf if math.isnan(value) else value


def needs_conversions(criterion: Criterion) -> bool:
    """Whether the criterion is measured on conversions of held-out utterances."""
    return criterion in _CONVERSION_FIGURES


def criterion_faults(criterion: Criterion, section: str, tasks: Collection[str]) -> list[str]:
    """Check that a recipe has a head for its criterion. Return the fault in a sentence, or an empty list.

    Args:
        criterion: The criterion.
        section: Section of the recipe that sets it: training or tuning.
        tasks: Tasks of the recipe's heads, as in `vczoo.models.model.Model.tasks`.
    """
    if criterion in _HEAD_FIGURES and not set(tasks) & set(owners := _HEAD_FIGURES[criterion][2]):
        heads = " or ".join(f"a {owner} head" for owner in owners)
        return [f"{section}.criterion: {criterion} needs {heads}, but this recipe has none; choose loss, or add one"]
    if needs_conversions(criterion) and "voice" not in tasks:
        others = [name for name, (_, _, owners) in _HEAD_FIGURES.items() if set(owners) & set(tasks)]
        return [
            f"{section}.criterion: {criterion} is measured on conversions, but this recipe has no voice head; choose "
            f"{' or '.join(['loss', *others])}, or add one"
        ]
    return []


def check_criterion(
    recipe: str,
    criterion: Criterion,
    *,
    tasks: Collection[str],
    speakers: Sequence[str],
    validated: Collection[str],
) -> None:
    """Check, before training, that a criterion can be computed.

    Args:
        recipe: Name of the recipe.
        criterion: The criterion.
        tasks: Tasks of the recipe's heads.
        speakers: Speakers of the training data.
        validated: Speakers of the validation split.

    Raises:
        RecipeError: The recipe has no head for the criterion.
        CorpusError: The criterion is accuracy, but no speaker of the validation split is a training speaker, so a
            speaker classifier cannot be right.
    """
    if faults := criterion_faults(criterion, "training", tasks):
        raise RecipeError(recipe, faults)
    if criterion == "accuracy" and "label" not in tasks and not set(speakers) & set(validated):
        raise CorpusError(
            "training.criterion is accuracy, but the validation split has only speakers outside the training set: "
            f"{', '.join(sorted(validated)[:12])}. Mark some recordings of {speakers[0]} for validation, or choose "
            "another criterion"
        )
