"""An epoch's figures in, the score that epochs are compared by out; and what a recipe must have for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from vczoo.errors import CorpusError, RecipeError, VczooError

__all__ = ["Criterion", "best_epoch", "check_criterion", "criterion_faults", "needs_conversions", "score"]

Criterion = Literal["loss", "accuracy", "similarity", "character-error", "word-error", "recall"]

# The figures of heads, by the last part of their names, the sign that makes lower better, and whose they are.
_OF_HEADS: Mapping[str, tuple[str, float, tuple[str, ...]]] = {
    "accuracy": ("accuracy", -1.0, ("speaker", "label")),
    "recall": ("recall", -1.0, ("label",)),
    "word-error": ("wer", 1.0, ("text",)),
}
# The figures that are measured on held-out conversions, and the sign that makes lower better.
_HEARD: Mapping[str, tuple[str, float]] = {
    "similarity": ("similarity", -1.0),
    "character-error": ("character_error", 1.0),
}


def score(figures: Mapping[str, float], criterion: Criterion) -> tuple[float, ...]:
    """What epochs are compared by: the lower one, as tuples compare, is the better one.

    Accuracy is the mean over the speaker and label heads, recall over the label heads, word error over the text heads.
    All but the loss take few values on a small validation split: between equals the loss decides.

    Args:
        figures: of validation: `loss`, `<head>.accuracy`, `<head>.recall`, `<head>.wer`, and where conversions are
            listened to `similarity` and `character_error`.
        criterion: the recipe's `training.criterion`.

    Raises:
        VczooError: the figures lack the one that the criterion is about.
    """
    if criterion == "loss":
        return (figures["loss"],)
    if criterion in _OF_HEADS:
        name, sign, _ = _OF_HEADS[criterion]
        found = [sign * value for key, value in figures.items() if key.endswith(f".{name}")]
    else:
        name, sign = _HEARD[criterion]
        found = [sign * figures[name]] if name in figures else []
    if not found:
        raise VczooError(
            f"training.criterion is {criterion}, and validation gives {', '.join(figures)} alone; choose by one of them"
        )
    return (sum(found) / len(found), figures["loss"])


def best_epoch(history: Sequence[Mapping[str, Any]], criterion: Criterion, keep: Literal["best", "last"]) -> int:
    """The epoch whose weights are kept: the first of the best, or the last.

    Args:
        history: one record an epoch, as in metrics.jsonl; at least one.
        criterion: the recipe's `training.criterion`.
        keep: its `training.keep`.
    """
    record = history[-1] if keep == "last" else min(history, key=lambda one: score(one["validation"], criterion))
    return int(record["epoch"])


def needs_conversions(criterion: Criterion) -> bool:
    """Whether held-out utterances must be converted for it."""
    return criterion in _HEARD


def criterion_faults(criterion: Criterion, section: str, tasks: Collection[str]) -> list[str]:
    """Why a recipe cannot have its criterion, in a sentence; nothing where it can.

    Args:
        criterion: that is asked for.
        section: of the recipe that asks: training or tuning.
        tasks: what the recipe's heads are for, as `vczoo.models.model.Model.tasks` says.
    """
    if criterion in _OF_HEADS and not set(tasks) & set(owners := _OF_HEADS[criterion][2]):
        whose = " or ".join(f"a {owner} head's" for owner in owners)
        return [f"{section}.criterion: {criterion} is {whose}, and this recipe has none; choose loss, or add one"]
    if needs_conversions(criterion) and "voice" not in tasks:
        others = [name for name, (_, _, owners) in _OF_HEADS.items() if set(owners) & set(tasks)]
        return [
            f"{section}.criterion: {criterion} is measured on conversions, and this recipe has no voice head; choose "
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
    """See that a criterion can be had before anything is trained for it.

    Args:
        recipe: its name.
        criterion: that is asked for.
        tasks: what its heads are for.
        speakers: of the training data.
        validated: who speaks in the validation split.

    Raises:
        RecipeError: the recipe has no head for it.
        CorpusError: accuracy decides, and validation has strangers alone, of whom no classifier knows anything.
    """
    if faults := criterion_faults(criterion, "training", tasks):
        raise RecipeError(recipe, faults)
    if criterion == "accuracy" and "label" not in tasks and not set(speakers) & set(validated):
        raise CorpusError(
            "training.criterion is accuracy, and no recording for validation is of a speaker that training hears: "
            f"{', '.join(sorted(validated)[:12])} are strangers to it. Mark some recordings of {speakers[0]} for "
            "validation, or choose another criterion"
        )
