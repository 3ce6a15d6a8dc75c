"""The demo, made short: every figure of its table is measured, and its files are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from vczoo.audio.waveform import Waveform
from vczoo.cli import demo
from vczoo.errors import AudioError, PluginError, VczooError


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    real = demo.finetune
    overrides = ["training.epochs=2"]

    def tune(recipe: str, data: Path, out: Path, **options: Any) -> Any:
        return real(recipe, data, out, overrides, progress=False, **options)

    monkeypatch.setattr(demo, "finetune", tune)


def test_the_demo_enrols_a_voice_and_tunes_the_model_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    monkeypatch.setattr(demo, "UTTERANCES", 6)
    monkeypatch.setattr(demo, "LEAST_SECONDS", 5.0)
    result = demo.run_demo(tmp_path / "demo")
    table = {row["what"]: row["value"] for row in result.rows}
    before, enrolled, tuned = (
        next(float(value) for what, value in table.items() if "of the sentence, " in what and what.endswith(end))
        for end in ("unconverted", "(enrolled)", "(fine-tuned)")
    )
    assert before < min(enrolled, tuned)
    assert "at most 1" in result.notes[0]
    *waves, run = result.files
    assert result.next_command == f"vczoo convert {run} FILE.wav --voice bruno"
    assert sum("-as-" in path.name for path in waves) >= 3  # enrolled, tuned, and into the model's own voices
    assert all(Waveform.read(path).seconds > 1 for path in waves)
    assert (run / "vczoo.yaml").is_file()
    rows = [json.loads(line) for line in (run / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    splits, recordings = [row["split"] for row in rows], [Path(row["path"]) for row in rows]
    assert sorted(splits) == ["train"] * 5 + ["validation"]
    assert all(path.parent == tmp_path / "demo" / "recordings" / "bruno" for path in recordings)
    with pytest.raises(VczooError, match="exists; choose another folder"):
        demo.run_demo(tmp_path / "demo")


def test_a_recording_of_ones_own_is_the_voice(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    speaker = list(demo.SYNTHETIC_VOICES)[2]
    spoken = demo.write_corpus(tmp_path / "own", [speaker], demo.SENTENCES[:2]) / speaker
    result = demo.run_demo(tmp_path / "demo", [spoken], "ann")  # a folder of them
    table = {row["what"]: row["value"] for row in result.rows}
    assert "speech of ann" in table
    assert table["similarity is by"] in ("resemblyzer", "base's own embedding")
    assert table["fine-tuning"].startswith("skipped")  # too little of it
    assert (tmp_path / "demo" / "sentence-as-ann-enrolled.wav") in result.files
    assert result.next_command == f"vczoo convert base FILE.wav --voice {sorted(spoken.iterdir())[0]}"


def test_a_recording_needs_no_synthesizer(tmp_path: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise VczooError("synthetic speech needs espeak-ng, which is not installed")

    monkeypatch.setattr(demo, "write_corpus", absent)
    result = demo.run_demo(tmp_path / "demo", sorted((voices_folder / "alice").iterdir()))
    assert "No sentence was converted to your voice: synthetic speech needs espeak-ng" in result.notes[-1]
    assert {path.name for path in result.files} == {f"you-as-{name}.wav" for name in demo.load("base").voices}
    assert all(path.is_file() for path in result.files)
    with pytest.raises(VczooError, match=r"espeak-ng, .*; or use a recording of yours: vczoo demo me\.wav"):
        demo.run_demo(tmp_path / "other")


def test_without_the_extra_the_model_itself_judges(monkeypatch: pytest.MonkeyPatch, voices_folder: Path) -> None:
    def absent(name: str) -> None:
        raise PluginError(f"{name} is not installed")

    monkeypatch.setattr(demo, "load_speaker_model", absent)
    model, own = demo.load(demo.MODEL), sorted((voices_folder / "alice").iterdir())
    model.enroll("you", own[:3])
    similarity, embedding_name = demo._similarity_measure(model, "you", [Waveform.read(path) for path in own[:3]])
    assert embedding_name == "base's own embedding"
    other = sorted((voices_folder / "bob").iterdir())[4]
    assert similarity(own[4]) > similarity(other)


def test_too_little_speech_is_told_before_anything_is_made(tmp_path: Path) -> None:
    Waveform.of(torch.full((1, 4000), 0.1), 16000).save(tmp_path / "short.wav")
    with pytest.raises(AudioError, match="at least 1 s of speech"):
        demo.run_demo(tmp_path / "demo", [tmp_path / "short.wav"])
    assert not (tmp_path / "demo").exists()
