"""`vczoo convert`, `enroll`, `identify` and `voices`, as a person meets them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile

import vczoo
from tests.unit.cli.conftest import Command


@pytest.fixture
def desk(tmp_path: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, source in {"hello.wav": "bob/0.wav", "again.wav": "bob/1.wav", "me.wav": "alice/2.wav"}.items():
        shutil.copy(voices_folder / source, tmp_path / name)
    shutil.copytree(voices_folder / "carol", tmp_path / "people" / "carol")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def one_voice(tmp_path: Path, made_run: Path) -> Path:
    converter = vczoo.load(made_run)
    for name in ("bob", "carol"):
        del converter.run.voices[name]
    return converter.save(tmp_path / "single")


def test_a_recording_is_the_voice(command: Command, desk: Path, run_folder: Path) -> None:
    before = (run_folder / "voices.safetensors").read_bytes()
    code, out, _ = command("convert", run_folder, "hello.wav", "--voice", "me.wav")
    assert (code, "hello-as-me.wav: " in out, "in the voice of me.wav, marked" in out) == (0, True, True)
    assert vczoo.read_mark("hello-as-me.wav").voice == "me.wav"  # type: ignore[union-attr]
    assert soundfile.info("hello-as-me.wav").duration == pytest.approx(soundfile.info("hello.wav").duration)
    assert (run_folder / "voices.safetensors").read_bytes() == before


def test_a_folder_of_recordings_and_a_mix(command: Command, desk: Path, run_folder: Path) -> None:
    assert command("convert", run_folder, "hello.wav", "--voice", "people/carol", "--out", "a.wav")[0] == 0
    assert vczoo.read_mark("a.wav").voice == "carol (recording)"  # type: ignore[union-attr]  # carol is a voice, too
    assert command("convert", run_folder, "hello.wav", "--voice", "bob:0.5,me.wav:0.5", "--out", "b.wav")[0] == 0
    assert vczoo.read_mark("b.wav").shares == {"bob": 0.5, "me.wav": 0.5}  # type: ignore[union-attr]


def test_several_sources_go_into_a_folder(command: Command, desk: Path, run_folder: Path) -> None:
    code, out, _ = command("convert", run_folder, "hello.wav", "ag*.wav", "--voice", "bob", "--out", "made/")
    assert (code, out.startswith("made: 2 recordings, ")) == (0, True)
    assert sorted(path.name for path in Path("made").iterdir()) == ["again.wav", "hello.wav"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["none.wav", "--voice", "bob"], "none.wav: no such file"),
        (["hello.wav", "--voice", "bob", "--out", "x.aif"], "must end in .wav"),
        (["hello.wav", "--voice", "bob", "--out", "me.wav"], "me.wav already exists"),
        (["hello.wav", "--voice", "bop"], "no voice is called 'bop'; did you mean 'bob'? Voices: alice, bob, carol."),
        (["hello.wav"], "name the voice to convert to, or a recording of it. Voices: alice, bob, carol."),
        (["hello.wav", "--voice", "you.wav"], "you.wav: no such recording or folder, and no voice has that name"),
        (["hello.wav", "--voice", "people"], "for the folder of that name, write ./people"),
        (["hello.wav", "--voice", "./empty"], "empty: no recording is in this folder"),
        (["hello.wav", "--voice", "bob", "--semitones", "100"], "semitones must be -24 to 24"),
        (["hello.wav", "--voice", "bob", "--semitones", "up"], "--semitones must be a number or auto, got 'up'"),
    ],
)
def test_mistakes_are_told_before_a_model_is_loaded(
    command: Command,
    desk: Path,
    run_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("vczoo.conversion.load.load", lambda *_: pytest.fail("a model was loaded"))
    code, out, err = command("convert", run_folder, *options)
    assert (code, out) == (1, "")
    assert message in err


def test_the_only_voice_needs_no_name(command: Command, desk: Path, one_voice: Path) -> None:
    code, out, _ = command("convert", one_voice, "hello.wav")
    assert (code, "hello-converted.wav: " in out, "in the voice of alice, " in out) == (0, True, True)


def test_a_recipe_that_nobody_trained_is_refused(command: Command, desk: Path) -> None:
    code, _, err = command("convert", "demo", "hello.wav", "--voice", "me.wav")
    assert (code, "voice head is not trained yet, so the result would be noise" in err) == (1, True)
    assert not Path("hello-as-me.wav").exists()


def test_identify_among_one_voice_says_what_its_number_means(
    command: Command, desk: Path, one_voice: Path, run_folder: Path
) -> None:
    code, out, err = command("identify", one_voice, "hello.wav")
    assert (code, out.splitlines()[1].split()[0]) == (0, "alice")
    assert "There is one voice, so the nearest says nothing about who speaks" in err
    assert command("identify", run_folder, "hello.wav")[2] == ""


def test_a_useless_enrollment_is_warned_of(command: Command, desk: Path, run_folder: Path, tone) -> None:  # type: ignore[no-untyped-def]
    tone(desk / "sine.wav", seconds=3.0)
    code, _, err = command("enroll", run_folder, "sine", "sine.wav")
    assert (code, err.startswith("warning: voice 'sine': the level never changes")) == (0, True)


def test_voices_are_listed(command: Command, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vczoo.conversion.load.load", lambda *_: pytest.fail("a model was loaded"))
    _, out, _ = command("voices", run_folder)
    assert [line.split() for line in out.splitlines()[1:]] == [["alice", "own"], ["bob", "own"], ["carol", "own"]]
    _, out, _ = command("voices", "base")
    assert ["woman-1", "bundled"] in [line.split() for line in out.splitlines()]
    code, out, err = command("voices", "demo")
    assert (code, out, "demo has no voice yet" in err) == (0, "", True)
    assert "no run is here" in command("voices", "./none")[2]
