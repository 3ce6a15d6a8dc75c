"""A voice from one long recording, from a folder and from wildcards, on the command line."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import vczoo
from tests.conftest import SPEAKERS, synthetic_utterance
from vczoo.cli.app import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vczoo", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        captured = capsys.readouterr()
        return int(done.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def minute(tmp_path: Path) -> Path:
    """Half a minute of alice in one file."""
    parts = [synthetic_utterance(number, *SPEAKERS["alice"]) for number in range(36)]
    soundfile.write(tmp_path / "me.wav", np.concatenate(parts), 16000)
    return tmp_path / "me.wav"


def test_a_recipe_is_tuned_on_one_long_recording(run, minute: Path, tmp_path: Path, small: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    settings = [*small, "training.epochs=1"]
    code, _, err = run("train", "demo", "--data", minute, "--out", tmp_path / "no", *settings)
    assert (code, "whose recording is this? Name its speaker with --voice" in err) == (1, True)
    code, out, err = run("train", "demo", "--data", minute, "--voice", "me", "--out", tmp_path / "run", *settings)
    assert (code, "voices me" in out) == (0, True)
    assert "me.wav of me was cut at pauses into" in err
    rows = [json.loads(line) for line in (tmp_path / "run" / "manifest.jsonl").read_text().splitlines()]
    assert {row["path"] for row in rows} == {str(minute)}
    assert {row["relative_path"] for row in rows} == {"../me.wav"}
    assert all(3 <= row["end"] - row["start"] <= 9 for row in rows)
    assert vczoo.load(tmp_path / "run").voices == ("me",)
    more = [*settings, "training.epochs=1"]
    code, _, err = run(
        "train", "demo", "--data", minute, "--data", minute, "--voice", "me", "--out", tmp_path / "two", *more
    )
    assert (code, err.count("was cut at pauses")) == (0, 1)


@pytest.mark.parametrize("command", ["find-rate", "sweep", "train-vocoder"])
def test_every_training_command_takes_one_long_recording(  # type: ignore[no-untyped-def]
    run, command: str, minute: Path, tmp_path: Path, small: tuple[str, ...]
) -> None:
    vocoder = (
        "vocoder.use=griffin-lim-net",
        "vocoder.width=8",
        "vocoder.blocks=1",
        "vocoder.iterations=2",
        "vocoder_training.steps=2",
        "vocoder_training.validate_every=1",
        "vocoder_training.adversarial_from=1",
    )
    words = {
        "find-rate": ("demo", "--steps", 40, *small),
        "sweep": ("demo", "--grid", "seed=0,1", "--dry-run", "--out", tmp_path / "out", *small),
        "train-vocoder": ("demo", "--out", tmp_path / "out", *vocoder),
    }[command]
    code, _, err = run(command, *words, "--data", minute)
    assert (code, "whose recording is this? Name its speaker with --voice" in err) == (1, True)
    code, _, err = run(command, *words, "--data", minute, "--voice", "me")
    assert code == 0, err


def test_a_run_that_moved_with_its_recordings_is_extended(  # type: ignore[no-untyped-def]
    run, minute: Path, tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    settings = [*small, "training.epochs=1"]
    home = tmp_path / "home"
    home.mkdir()
    minute.rename(home / "me.wav")
    vczoo.finetune("demo", home / "me.wav", home / "run", settings, speaker="me", progress=False)
    home.rename(tmp_path / "new")
    (tmp_path / "more").symlink_to(voices_folder)
    extended = vczoo.finetune(
        tmp_path / "new" / "run", tmp_path / "more", tmp_path / "out", ["training.epochs=1"], progress=False
    )
    assert extended.speakers == ("me", "alice", "bob", "carol")


def test_enroll_takes_folders_and_wildcards_and_says_what_it_keeps(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, voices_folder: Path
) -> None:
    (tmp_path / "alice").mkdir()
    for file in sorted((voices_folder / "alice").iterdir()):
        (tmp_path / "alice" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "alice" / "notes.txt").write_text("x")
    code, out, err = run("enroll", "base", "me", tmp_path / "alice", "--out", tmp_path / "run")
    first, advice, second, _ = out.splitlines()
    assert (code, first) == (0, f"{tmp_path / 'run'}: voices me")
    assert re.match(r"me: [\d.]+ s of speech: 15 s or more would make conversions about 0\.0\d more similar", advice)
    assert second == "not saved, because they come with base and are not yours to share: woman-1, woman-2, man-1, man-2"
    assert "passed over, because they are not audio:\n  " in err
    assert "notes.txt" in err
    saved = vczoo.load(tmp_path / "run")
    assert saved.voices == ("me",)
    code, out, _ = run("enroll", tmp_path / "run", "again", f"{tmp_path}/alice/*.wav")
    assert (code, out.splitlines()[0]) == (0, f"{tmp_path / 'run'}: voices me, again")
    voices = vczoo.load(tmp_path / "run").run.voices
    assert voices["me"].tensors.keys() == voices["again"].tensors.keys()
    assert all(
        voices["me"].tensors[key].allclose(voices["again"].tensors[key], equal_nan=True) for key in voices["me"].tensors
    )
    code, _, err = run("enroll", tmp_path / "run", "none", f"{tmp_path}/alice/*.flac")
    assert (code, "no sound file matches" in err) == (1, True)


def test_the_demo_names_the_voice(run, tmp_path: Path, minute: Path) -> None:  # type: ignore[no-untyped-def]
    code, _, err = run("demo", minute, "--out", tmp_path / "demo", "--voice", "a/b")
    assert (code, "choose another --voice" in err) == (1, True)
    assert not (tmp_path / "demo").exists()
