"""Measures of a sweep: the columns that they have in the table, and which of them a recipe can have."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vczoo.errors import VczooError
from vczoo.io.text import nearest
from vczoo.models.recipe import HeadPart, Recipe
from vczoo.modules.interfaces.heads import FrameHead, LabelHead, SpeakerHead, TextHead, VoiceHead
from vczoo.registry.zoo import the_zoo

__all__ = ["SIMILARITY", "check_measures", "column_of", "figures_of", "is_wanted", "split_of"]

SIMILARITY = "similarity"
SPLITS = ("validation", "test")
# The figures that heads of each kind have. A head of a plugin may have others.
_FIGURES: Mapping[type, tuple[str, ...]] = {
    SpeakerHead: ("accuracy", "loss"),
    LabelHead: ("accuracy", "recall", "loss"),
    TextHead: ("wer", "cer", "loss"),
    VoiceHead: ("l1", "loss"),
    FrameHead: ("cosine", "loss"),
}
_OF_CONVERSIONS = {"similarity": (SIMILARITY,), "character-error": (SIMILARITY, "character_error")}


def column_of(split: str, figure: str) -> str:
    """The column of a figure: `test_speaker_accuracy` for `speaker.accuracy` of the test split."""
    return re.sub(r"\W", "_", f"{split}_{figure}")


def split_of(column: str) -> str:
    """The split that a column of figures was measured on."""
    return column.partition("_")[0]


def figures_of(cell: Mapping[str, Any], measures: Sequence[str] | None) -> dict[str, float]:
    """The wanted figures of a cell by column: of both splits, and `test_similarity` of the conversions.

    Args:
        cell: The cell, as in the state of a sweep.
        measures: The requested figures, as in `is_wanted`.
    """
    metrics = cell.get("metrics", {})
    figures = {split: dict(metrics.get(split) or {}) for split in SPLITS}
    if (similarity := cell.get("conversions", {}).get("similarity_to_target")) is not None:
        figures["test"][SIMILARITY] = similarity
    return {
        column_of(split, name): value
        for split, of_split in figures.items()
        for name, value in of_split.items()
        if is_wanted(name, measures)
    }


def is_wanted(figure: str, measures: Sequence[str] | None) -> bool:
    """Whether a figure is requested, by its name (`speaker.accuracy`) or by the last part of it (`accuracy`).

    If `measures` is None, every figure is, except the losses of single heads.
    """
    if measures is None:
        return figure == "loss" or not figure.endswith(".loss")
    return figure in measures or figure.rpartition(".")[2] in measures


def check_measures(measures: Sequence[str], recipes: Iterable[Recipe]) -> None:
    """Check that at least one recipe has each of the measures.

    Args:
        measures: The requested figures, as in `is_wanted`.
        recipes: The recipes of the cells.

    Raises:
        VczooError: No recipe has a measure. The message lists all of these, and the valid names.
    """
    names: dict[str, None] = {"loss": None}
    for recipe in recipes:
        for head, part in recipe.heads.items():
            known = _figures_of_head(part)
            if not known:  # of a plugin: it may measure anything
                return
            names |= dict.fromkeys(f"{head}.{figure}" for figure in known)
            names |= {SIMILARITY: None} if "l1" in known else {}
        names |= dict.fromkeys(_OF_CONVERSIONS.get(recipe.training.criterion, ()))
    unknown = [measure for measure in measures if not any(is_wanted(name, [measure]) for name in names)]
    if unknown:
        ends = dict.fromkeys(name.rpartition(".")[2] for name in names)
        hint = nearest(unknown[0], [*names, *ends])
        raise VczooError(
            f"no recipe of this sweep has the measure {' or '.join(map(repr, unknown))}{hint} "
            f"Measures: {', '.join(ends)}; or of one head: {', '.join(name for name in names if '.' in name)}"
        )


def _figures_of_head(part: HeadPart) -> tuple[str, ...]:
    """The figures of a head of the core; none if they are not known."""
    entry, _ = the_zoo().find("head", part.use)
    factory = entry.load()
    if "/" in entry.name or not inspect.isclass(factory):
        return ()
    return next((figures for kind, figures in _FIGURES.items() if issubclass(factory, kind)), ())
