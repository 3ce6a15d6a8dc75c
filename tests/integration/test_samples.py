"""The page of samples: it says what figures.json says, and its files are small, open, and marked as synthetic."""

from __future__ import annotations

import json

import pytest
import soundfile

from benchmarks.quality import samples
from tests.support.paths import ROOT
from vczoo.audio.reader import read_mark

FOLDER = ROOT / "docs" / "samples"
PAGE = FOLDER.with_suffix(".md").read_text(encoding="utf-8")
FIGURES = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
SYSTEMS = [name for name in FIGURES["systems"] if name != samples.REAL]
LARGEST_BYTES = 2_000_000


def test_the_page_is_made_from_the_figures() -> None:
    assert samples.page_of(FIGURES, "samples") == PAGE


def test_the_folder_holds_what_the_page_plays() -> None:
    files = {file for name in SYSTEMS for file in samples.files_of(name)}
    assert {path.name for path in FOLDER.glob("*.ogg")} == files
    assert all(f"samples/{file}" in PAGE for file in files)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < LARGEST_BYTES


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_sample_is_mono_and_a_conversion_is_marked(name: str) -> None:
    for file in samples.files_of(name):
        info = soundfile.info(FOLDER / file)
        assert (info.format, info.channels, info.duration < 20) == ("OGG", 1, True)
        mark = read_mark(FOLDER / file)
        assert (mark is None) == (name == samples.SOURCE)
        if mark:
            assert mark.recipe == name


def test_the_recordings_are_attributed() -> None:
    for words in ("CSTR VCTK Corpus", "creativecommons.org/licenses/by/4.0", "p225", "CC BY-SA"):
        assert words in PAGE


def test_only_recipes_of_the_zoo_are_made() -> None:
    assert {f"{name}.yaml" for name in samples.RECIPES} <= {path.name for path in (ROOT / "recipes").iterdir()}
