"""Voices by name: those of a run folder, and those that a recipe takes over from its start."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import vczoo
from vczoo.conversion.voice_listing import list_voices


@pytest.mark.parametrize("recipe", ["base", "base-partialfreeze", "base-joint", "demo"])
def test_a_recipe_has_the_voices_that_it_loads_with(recipe: str) -> None:
    assert tuple(voice.name for voice in list_voices(recipe)) == vczoo.load(recipe).voices


def test_speech_that_a_voice_was_trained_on(run_folder: Path) -> None:
    file = run_folder / "vczoo.yaml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    config["data"]["minutes"] = {"alice": 0.5}
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert [(voice.name, voice.origin, voice.seconds) for voice in list_voices(run_folder)] == [
        ("alice", "own", 30.0),
        ("bob", "own", None),
        ("carol", "own", None),
    ]
