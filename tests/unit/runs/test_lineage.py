"""A run knows what it was made from, through saving and loading."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import vczoo
from vczoo.runs.config import Ancestor, read_config
from vczoo.runs.lineage import lineage_from
from vczoo.runs.run_folder import describe_run, load_run


def test_a_voice_enrolled_in_the_bundled_model_descends_from_it(tmp_path: Path, voices_folder: Path) -> None:
    converter = vczoo.load("base")
    converter.enroll("alice", voices_folder / "alice" / "0.wav")
    folder = converter.save(tmp_path / "run")
    (base,) = load_run(folder).lineage
    assert (base.kind, base.name, base.revision) == ("bundled", "base", metadata.version("vczoo"))
    assert (base.licence, base.parts) == ("cc-by-sa-4.0", ["backbone", "vocoder", "heads.speaker", "heads.voice"])
    assert any("LibriSpeech" in line and "CC BY 4.0" in line for line in base.attribution)
    assert any("CC BY-SA 3.0" in line for line in base.attribution)
    assert "name: base\n" in describe_run(folder).partition("lineage:")[2]


def test_only_the_parts_that_the_start_filled_are_named() -> None:
    run = vczoo.load("base", ["vocoder.use=griffin-lim", "heads={extra: {use: speaker-classifier, hidden: [4]}}"]).run
    assert run.lineage[0].parts == ["backbone", "heads.speaker", "heads.voice"]


def test_a_run_made_from_a_local_run_names_its_recipe_and_what_that_was_made_from(made_run: Path) -> None:
    run = load_run(made_run)
    run.lineage = (Ancestor(kind="hub", name="me/one", revision="0" * 40),)
    parent, grandparent = lineage_from(run)
    assert (parent.kind, parent.name, grandparent.name) == ("local", "demo", "me/one")
    assert str(made_run) not in str(parent)


def test_a_run_loaded_from_the_hub_is_its_own_first_ancestor(made_run: Path) -> None:
    run = load_run(made_run)
    run.lineage, run.revision = (Ancestor(kind="hub", name="me/one", revision="ab" * 20),), "me/one@abababababab"
    assert lineage_from(run) == run.lineage


def test_a_run_without_descent_has_no_such_keys(made_run: Path) -> None:
    assert read_config(made_run / "vczoo.yaml").lineage == []
    text = (made_run / "vczoo.yaml").read_text()
    assert "lineage" not in text
    assert "attribution" not in text
