"""Voices of a recipe, a run folder or a run on the Hub, without its model. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vczoo.conversion.name import read_name
from vczoo.errors import RunError
from vczoo.models.bundled import CONFIG, find_start
from vczoo.models.recipe import Part, Recipe, read_recipe
from vczoo.runs.config import read_config

__all__ = ["ListedVoice", "list_voices"]


@dataclass(frozen=True)
class ListedVoice:
    """A voice that a model can convert to.

    Attributes:
        name: Name of the voice.
        origin: Whether the voice is the run's own, or comes with the run that the recipe starts from.
        seconds: Seconds of speech that it was trained on; None if that is not known.
    """

    name: str
    origin: Literal["own", "bundled"]
    seconds: float | None


def list_voices(name: str | os.PathLike[str]) -> list[ListedVoice]:
    """List the voices of a model.

    Args:
        name: As for `vczoo.load`.

    Raises:
        UnknownNameError, RecipeError, RunError, HubError: The name is not known, or its configuration cannot be read.
    """
    kind, location = read_name(name)
    if kind == "recipe":
        return [ListedVoice(voice, "bundled", None) for voice in _voices_of_start(read_recipe(location))]
    if kind == "hub":
        from vczoo.hub.search import describe_speaker  # imported here, since it imports the Hub's client

        facts = describe_speaker(location)
        return _own(facts["voices"], facts["data"]["minutes"])
    file = Path(location) / CONFIG
    if not file.is_file():
        raise RunError(f"{location}: no run is here ({CONFIG} is missing); check the path")
    config = read_config(file)
    return _own(config.voices, config.data.minutes)


def _own(voices: Sequence[str], minutes: Mapping[str, float]) -> list[ListedVoice]:
    return [ListedVoice(name, "own", 60 * minutes[name] if name in minutes else None) for name in voices]


def _voices_of_start(recipe: Recipe) -> list[str]:
    """Names of the voices that `vczoo.runs.warm_start.build_initial_model` takes over."""
    if not recipe.start:
        return []
    config = read_config(find_start(recipe.start) / CONFIG)
    start = config.parsed_recipe
    same = recipe.heads == start.heads and all(
        _without_weights(getattr(recipe, place)) == _without_weights(getattr(start, place))
        for place in ("backbone", "vocoder")
    )
    return list(config.voices) if same else []


def _without_weights(part: Part | None) -> dict[str, object]:
    """A part as plain values; the start provides its weights."""
    return {name: value for name, value in part.model_dump().items() if name != "weights"} if part else {}
