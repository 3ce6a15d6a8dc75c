"""Train/test leakage: measuring models that a recipe was trained with, or that share a family with one of its parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vczoo.errors import VczooError
from vczoo.evaluation.measures import Measures
from vczoo.models.recipe import Part, Recipe

__all__ = ["leakage_notes", "shares_asr"]


def leakage_notes(recipe: Recipe, measures: Measures) -> tuple[str, ...]:
    """Notes on train/test leakage: one for each measuring model that shares its family with a part of the recipe.

    A part shares the family if its name, its options or its model folder mention it: Whisper's encoder as content
    backbone shares a family with Whisper as ASR, whatever their sizes. Print the notes under the recipe's figures.

    Args:
        recipe: Recipe of the model that is measured.
        measures: Measuring models.

    Raises:
        VczooError: A part of the recipe is the speaker model itself, so the similarity would measure what the recipe
            was optimized for. Choose another speaker model.
    """
    notes = []
    speaker = measures.speaker
    for place, text in _words(recipe):
        model_id = speaker.name.partition(":")[2].partition("@")[0] or speaker.family
        if _plain(model_id) in _plain(text):
            raise VczooError(
                f"recipe {recipe.name!r} uses {text!r} ({place}), so {speaker.name} cannot measure its similarity: it "
                "would measure what was optimized. Choose another speaker model, such as "
                + ("xvector:microsoft/wavlm-base-plus-sv" if speaker.family == "resemblyzer" else "resemblyzer")
            )
    if place := _related_part(recipe, speaker.family):
        notes.append(
            f"its {place} and the speaker model {speaker.name} are both of the family {speaker.family}, so its "
            "similarity may be too high"
        )
    for recogniser in measures.recognisers:
        if place := _related_part(recipe, recogniser.family):
            others = [other.name for other in measures.recognisers if not _related_part(recipe, other.family)]
            advice = f"compare the rate of {', '.join(others)}" if others else "no other ASR was used"
            notes.append(
                f"its {place} and the ASR {recogniser.name} are both of the family {recogniser.family}, so its word "
                f"error rate may be too low; {advice}"
            )
    return tuple(notes)


def shares_asr(recipe: Recipe, family: str) -> bool:
    """Return whether any part of the recipe is of this ASR's family."""
    return bool(_related_part(recipe, family))


def _related_part(recipe: Recipe, family: str) -> str:
    """Return the first part that mentions the family, or an empty string."""
    return next((place for place, text in _words(recipe) if _plain(family) in _plain(text)), "")


def _words(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield (part, text) for every part's name and text options, and for the model type of a folder they point to."""
    places = (("backbone", recipe.backbone), ("teacher", recipe.teacher), ("vocoder", recipe.vocoder))
    parts: list[tuple[str, Part | None]] = [*places]
    parts += [(f"head {name}", head) for name, head in recipe.heads.items()]
    for place, part in parts:
        if part is None:
            continue
        yield place, part.use
        for text in _texts(part.options):
            yield place, text
            yield place, _model_type(text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _model_type(text: str) -> str:
    """Return the `model_type` of a folder in the layout of transformers, or an empty string."""
    try:
        config = json.loads((Path(text) / "config.json").read_text(encoding="utf-8"))
        return str(config.get("model_type", "")) if isinstance(config, dict) else ""
    except (OSError, ValueError):
        return ""


def _plain(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())
