"""A recipe and measuring models in; which of them it has learnt from, out: such a model flatters what it measures."""

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
    """What must stand under a recipe's figures, for each measuring model that one of its parts is kin to.

    Kin is a part whose name, options or model folder name the measuring model's family: Whisper's encoder as content
    backbone is kin to Whisper as ASR, whatever its size.

    Raises:
        VczooError: a part of the recipe is the speaker model itself, so that similarity would measure what was
            optimised. Another speaker model is to be named.
    """
    notes = []
    speaker = measures.speaker
    for place, text in _words(recipe):
        same = speaker.name.partition(":")[2].partition("@")[0] or speaker.family
        if _plain(same) in _plain(text):
            raise VczooError(
                f"recipe {recipe.name!r} uses {text!r} ({place}), and {speaker.name} would measure its similarity: it "
                "would measure what was optimised. Name another speaker model, such as "
                + ("xvector:microsoft/wavlm-base-plus-sv" if speaker.family == "resemblyzer" else "resemblyzer")
            )
    if place := _kin(recipe, speaker.family):
        notes.append(
            f"its {place} and the speaker model {speaker.name} are both of the family {speaker.family}: its similarity "
            "may be flattered"
        )
    for recogniser in measures.recognisers:
        if place := _kin(recipe, recogniser.family):
            others = [known.name for known in measures.recognisers if not _kin(recipe, known.family)]
            beside = f"the rate of {', '.join(others)} stands beside it" if others else "no other ASR's rate is here"
            notes.append(
                f"its {place} is kin to the ASR {recogniser.name} ({recogniser.family}), whose word errors it may be "
                f"flattered by; {beside}"
            )
    return tuple(notes)


def shares_asr(recipe: Recipe, family: str) -> bool:
    """Whether a part of a recipe is of an ASR's family."""
    return bool(_kin(recipe, family))


def _kin(recipe: Recipe, family: str) -> str:
    """The part that names a family, or nothing."""
    return next((place for place, text in _words(recipe) if _plain(family) in _plain(text)), "")


def _words(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(part, text) of every name and text option of a recipe, and the kind of network in a folder that it names."""
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
    """What a folder in the layout of transformers says that its network is, or nothing."""
    try:
        config = json.loads((Path(text) / "config.json").read_text(encoding="utf-8"))
        return str(config.get("model_type", "")) if isinstance(config, dict) else ""
    except (OSError, ValueError):
        return ""


def _plain(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())
