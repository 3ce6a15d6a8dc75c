"""The demo, made short: every figure of its table is measured, and its files are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vczoo.audio.waveform import Waveform
from vczoo.cli import demo
from vczoo.errors import AudioError, PluginError, VczooError


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    real = demo.finetune
    overrides = ["training.epochs=2"]
    monkeypatch.setattr(demo, "finetune", lambda recipe, data, out: real(recipe, data, out, overrides, progress=False))


def test_the_demo_enrols_a_voice_and_tunes_the_model_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    monkeypatch.setattr(demo, "UTTERANCES", 6)
    monkeypatch.setattr(demo, "LEAST_SECONDS", 5.0)
    rows, files = demo.run_demo(tmp_path / "demo")
    table = {row["what"]: row["value"] for row in rows}
    for how in ("enrolled", "fine-tuned"):
        before, after = (
            next(float(value) for what, value in table.items() if what.endswith(f"({how}), {when}"))
            for when in ("before", "after")
        )
        assert after > before
    *waves, run = files
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
    rows, files = demo.run_demo(tmp_path / "demo", [spoken], "ann")
    table = {row["what"]: row["value"] for row in rows}
    assert "speech of ann" in table
    assert table["similarity is by"] in ("resemblyzer", "base's own embedding")
    assert table["fine-tuning"].startswith("skipped")  # too little of it
    assert (tmp_path / "demo" / "sentence-as-ann-enrolled.wav") in files


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
