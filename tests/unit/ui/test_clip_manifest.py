from __future__ import annotations

import json
from pathlib import Path

import pytest

from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import CorpusError
from vczoo.ui.clip_manifest import write_manifest


def test_the_last_pieces_are_held_out_and_none_for_a_test(voices_folder: Path, tmp_path: Path) -> None:
    clips = sorted((voices_folder / "bob").iterdir())
    manifest = write_manifest(clips, "bob tuned", tmp_path / "clips.jsonl")
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert [row["split"] for row in rows] == ["train"] * 5 + ["validation"]
    corpus = read_corpus(manifest)
    assert corpus.speakers == ("bob tuned",)
    assert len(corpus.split("validation")) == 1


def test_one_sentence_is_too_little(voices_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="too little speech to tune on: 1 piece "):
        write_manifest([voices_folder / "bob" / "0.wav"], "bob", tmp_path / "clips.jsonl")
    assert list(tmp_path.iterdir()) == []
