"""The recordings of `voices_folder` in a manifest with texts and labels: each utterance says its vowels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.conftest import VOWELS_HZ

__all__ = ["annotated", "text_of"]

LETTERS = "aeiou"


def text_of(number: int) -> str:
    """The vowels of an utterance, as `synthetic_utterance` draws them."""
    order = np.random.default_rng(number).permutation(len(VOWELS_HZ))[: 3 + number % 3]
    return " ".join(LETTERS[vowel] for vowel in order)


def annotated(voices_folder: Path, file: Path, **more: object) -> Path:
    """Write a .jsonl manifest: the text of each utterance, and whether its speaker is high or low as a label.

    Args:
        voices_folder: the fixture.
        file: to be written.
        more: other columns, or other values of these, of every row.
    """
    rows = []
    for path in sorted(voices_folder.rglob("*.wav")):
        label = "low" if path.parent.name == "bob" else "high"
        row = {"path": str(path), "speaker": path.parent.name, "text": text_of(int(path.stem)), "label": label}
        rows.append(json.dumps(row | more) + "\n")
    file.write_text("".join(rows))
    return file
