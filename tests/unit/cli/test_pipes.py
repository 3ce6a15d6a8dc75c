"""`vczoo convert - < in > out`, patterns for the names of outputs, and the samples of the files."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import soundfile

import vczoo
from tests.unit.cli.conftest import Command
from vczoo.audio.writer import SoundWriter
from vczoo.cli.sources import expand_sources, plan_outputs
from vczoo.errors import AudioError, VczooError


class Stream(io.TextIOWrapper):
    """A standard stream that is not a terminal."""

    def isatty(self) -> bool:
        return False


def connect(monkeypatch: pytest.MonkeyPatch, content: bytes) -> io.BytesIO:
    """Give standard input a content, and return what will be written to standard output."""
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", Stream(io.BytesIO(content)))
    monkeypatch.setattr(sys, "stdout", Stream(output))
    return output


def test_a_recording_goes_through_a_pipe(
    command: Command, run_folder: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = voices_folder / "bob" / "0.wav"
    stream = connect(monkeypatch, source.read_bytes())
    code, _, err = command("convert", run_folder, "-", "--voice", "alice")
    assert code == 0
    assert err.startswith("standard output: ")
    assert soundfile.info(io.BytesIO(stream.getvalue())).duration == pytest.approx(soundfile.info(source).duration)
    stream = connect(monkeypatch, b"")
    assert command("-q", "convert", run_folder, source, "--voice", "alice", "--out", "-", "--suffix", ".flac")[2] == ""
    assert soundfile.info(io.BytesIO(stream.getvalue())).format == "FLAC"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "standard input: the file is empty"), (b"hello" * 99, "standard input: ")],
)
def test_standard_input_without_a_recording_is_named(
    command: Command, run_folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    stream = connect(monkeypatch, content)
    code, _, err = command("convert", run_folder, "-", "--voice", "alice")
    assert (code, message in err, stream.getvalue()) == (1, True, b"")
    assert "vczoo-pipe" not in err


def test_a_terminal_and_several_recordings_are_refused(
    command: Command, run_folder: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = voices_folder / "bob" / "0.wav"
    for words in (["-", source], [voices_folder], [f"{voices_folder}/*/0.wav"]):
        code, _, err = command("convert", run_folder, *words, "--voice", "alice", "--out", "-")
        assert (code, "- stands for one recording" in err) == (1, True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, _, err = command("convert", run_folder, source, "--voice", "alice", "--out", "-")
    assert (code, "standard output is a terminal" in err) == (1, True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    code, _, err = command("convert", run_folder, "-", "--voice", "alice", "--out", "x.wav")
    assert (code, "add `< recording.wav`" in err) == (1, True)


def plan(words: list[str], out: str, suffix: str = ".wav") -> list[str]:
    return [
        target.as_posix() for _, target in plan_outputs(expand_sources(words), out, "me.wav:1", suffix, overwrite=False)
    ]


def test_a_pattern_names_the_outputs(tmp_path: Path, tone, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    for name in ("in/al/a.wav", "in/bo/a.flac", "me.wav"):
        tone(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    names = ["out/al-a-me.flac", "out/bo-a-me.flac"]
    assert plan(["in"], "out/{folder}-{name}-{voice}.flac") == names
    assert plan(["in/*/a.*"], "out/{folder}-{name}-{voice}.flac") == names
    assert plan(["in"], "{folder}/{name}") == ["al/a.wav", "bo/a.wav"]
    assert plan(["in"], "{folder}/{name}", "keep") == ["al/a.wav", "bo/a.flac"]
    with pytest.raises(VczooError, match=r"\{nam\} is unknown; did you mean 'name'\? Known: \{name\}, "):
        plan(["in"], "{nam}.wav")
    with pytest.raises(AudioError, match="would become it"):
        plan(["in"], "{name}.wav")
    tone(tmp_path / "in" / "made" / "old.wav")
    assert plan(["in"], "in/made/{folder}-{name}.wav") == ["in/made/al-a.wav", "in/made/bo-a.wav"]


@pytest.mark.parametrize(
    ("name", "depth", "subtype"),
    [
        ("a.wav", "16", "PCM_16"),
        ("a.wav", "24", "PCM_24"),
        ("a.wav", "float", "FLOAT"),
        ("a.flac", "24", "PCM_24"),
        ("a.ogg", "16", "VORBIS"),
    ],
)
def test_samples_are_of_the_chosen_depth(
    command: Command,
    run_folder: Path,
    voices_folder: Path,
    tmp_path: Path,
    name: str,
    depth: str,
    subtype: str,
) -> None:
    source = voices_folder / "bob" / "0.wav"
    out = tmp_path / name
    assert command("convert", run_folder, source, "--voice", "alice", "--out", out, "--depth", depth)[0] == 0
    assert soundfile.info(out).subtype == subtype
    mark = vczoo.read_mark(out)
    assert mark is not None
    assert mark.voice == "alice"


@pytest.mark.parametrize(("name", "depth"), [("a.flac", "float"), ("a.mp3", "24"), ("a.wav", "32")])
def test_other_samples_are_refused_before_any_work(
    command: Command, run_folder: Path, voices_folder: Path, tmp_path: Path, name: str, depth: str
) -> None:
    source, out = voices_folder / "bob" / "0.wav", tmp_path / name
    code, _, err = command("convert", run_folder, source, "--voice", "alice", "--out", out, "--depth", depth)
    assert (code, "the depth is 16, 24 (.wav and .flac) or float (.wav)" in err) == (1, True)
    assert not out.exists()


def test_floats_are_not_rounded(tmp_path: Path) -> None:
    import numpy as np

    samples = np.array([1e-6, 0.5, -0.25], np.float32)
    for depth, error in (("float", 0.0), ("24", 2**-23), ("16", 2**-15)):
        with SoundWriter(tmp_path / f"{depth}.wav", 16000, depth=depth) as file:  # type: ignore[arg-type]
            file.write(samples)
        written = soundfile.read(tmp_path / f"{depth}.wav", dtype="float32")[0]
        assert np.abs(written - samples).max() <= error
