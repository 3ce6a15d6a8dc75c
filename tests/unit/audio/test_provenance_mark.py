"""Marks: what a converted file says of itself, in every format and through every way to make one."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

import vczoo
from vczoo.audio.provenance_mark import Mark
from vczoo.audio.reader import read_mark
from vczoo.audio.waveform import Waveform
from vczoo.audio.writer import WRITE_SUFFIXES, SoundWriter
from vczoo.cli.app import main
from vczoo.errors import AudioError

ALICE = Mark("demo", {"alice": 1.0}, run="3fa9c0", vczoo="0.1.0")
ODD = Mark('a "recipe"; odd', {"한국어 🎤": 0.75, "x:1, \\y)": 0.25}, run="r\né")
EVERY_CHARACTER = st.characters(exclude_categories=())  # lone surrogates, too, of names that are not UTF-8


def comment_of(path: Path) -> str:
    with soundfile.SoundFile(path) as file:
        return file.comment


def sound(path: Path, comment: str | None = None) -> Path:
    """A file with or without a comment, as another program writes it."""
    with soundfile.SoundFile(path, "w", 16000, 1, format=path.suffix[1:].upper()) as file:
        if comment is not None:
            file.comment = comment
        file.write(0.1 * np.sin(np.arange(8000)))
    return path


def test_a_mark_is_one_readable_line() -> None:
    assert str(ALICE) == "synthetic speech (vczoo 0.1.0; recipe demo; run 3fa9c0; voice alice)"
    assert str(replace(ALICE, run="")) == "synthetic speech (vczoo 0.1.0; recipe demo; voice alice)"
    mix = replace(ALICE, shares={"alice": 0.7, "B;ob": 0.3})
    assert str(mix) == 'synthetic speech (vczoo 0.1.0; recipe demo; run 3fa9c0; voice alice:0.7, "B;ob":0.3)'
    assert mix.voice == "alice:0.7,B;ob:0.3"
    odd = r'recipe "a \"recipe\"; odd"; run "r\u000aé"; voice "한국어 🎤":0.75, "x:1, \\y)":0.25'
    assert str(replace(ODD, vczoo="2")) == f"synthetic speech (vczoo 2; {odd})"
    assert r'"\ud55c\uad6d\uc5b4 \ud83c\udfa4":0.75' in ODD.line(ascii_only=True)
    assert Mark("demo", {"a": 1.0}).vczoo == vczoo.__version__


@given(
    recipe=st.text(EVERY_CHARACTER, max_size=14),
    run=st.text(EVERY_CHARACTER, max_size=14),
    shares=st.dictionaries(st.text(EVERY_CHARACTER, max_size=14), st.floats(1e-9, 1.0), max_size=6),
    ascii_only=st.booleans(),
)
def test_any_names_are_read_back(recipe: str, run: str, shares: dict[str, float], ascii_only: bool) -> None:
    mark = Mark(recipe, shares, run)
    line = mark.line(ascii_only=ascii_only)
    assert line.isprintable()
    assert line.isascii() or not ascii_only
    assert Mark.parse(line) == mark


@given(text=st.text(EVERY_CHARACTER, max_size=400), count=st.integers(1, 40), ascii_only=st.booleans())
def test_a_line_fits_into_a_wav_whatever_the_names(text: str, count: int, ascii_only: bool) -> None:
    mark = Mark(text * 40, {f"{number} {text * 9}": 1 / count for number in range(count)}, run=text * 40)
    line = mark.line(ascii_only=ascii_only)
    assert len(line.encode()) < 2000
    read = Mark.parse(line)
    assert read is not None
    assert sum(read.shares.values()) == pytest.approx(1.0, rel=1e-3)


def test_of_a_large_mix_the_largest_shares_are_named() -> None:
    shares = {f"v{number}": 0.05 for number in range(10)} | {"main": 0.5}
    read = Mark.parse(str(Mark("demo", shares)))
    assert read is not None
    assert list(read.shares) == ["main", "v0", "v1", "v2", "v3", "…"]
    assert read.shares["…"] == pytest.approx(0.3)
    long = Mark.parse(str(Mark("r" * 500, {"alice": 1.0})))
    assert long is not None
    assert long.recipe.startswith("rrrr")
    assert long.recipe.endswith("r…")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a comment of somebody's",
        "synthetic speech",
        "synthetic speech ()",
        "synthetic speech (recipe demo; vczoo 0.1.0)",
        "a synthetic speech (vczoo 0.1.0; recipe demo; voice alice)",
        "synthetic speech (vczoo 0.1.0; recipe demo; voice alice) and more",
        "synthetic speech (vczoo 0.1.0; recipe demo; voice alice)\n",
        "synthetic speech (vczoo 0.1.0; recipe demo;voice alice)",
        "synthetic speech (vczoo 0.1.0; recipe two words; voice alice)",
        "synthetic speech (vczoo 0.1.0; recipe demo; recipe demo; voice alice)",
        "synthetic speech (vczoo 0.1.0; recipe demo:0.5; voice alice)",
        "synthetic speech (vczoo 0.1.0; recipe demo; voice alice, bob)",
        "synthetic speech (vczoo 0.1.0; recipe demo; voice alice:0.5, alice:0.5)",
        "synthetic speech (vczoo 0.1.0; recipe demo; voice alice:1.2.3)",
        "synthetic speech (vczoo 0.1.0; recipe demo; voice alice:0)",
        "synthetic speech (vczoo 0.1.0; recipe demo; voice alice:1e999)",
        'synthetic speech (vczoo 0.1.0; recipe "demo; voice alice)',
        r'synthetic speech (vczoo 0.1.0; recipe "\q"; voice alice)',
        'synthetic speech (vczoo 0.1.0; recipe "\ufffd"; voice alice)',  # bytes that were not UTF-8
        f"synthetic speech (vczoo 0.1.0; recipe {'x' * 20_000}; voice alice)",
    ],
)
def test_another_text_is_no_mark(text: str) -> None:
    assert Mark.parse(text) is None


def test_a_field_of_a_later_version_is_passed_over() -> None:
    line = 'synthetic speech (vczoo 9.0; recipe demo; licence "CC BY"; voice alice)'
    assert Mark.parse(line) == Mark("demo", {"alice": 1.0}, vczoo="9.0")


@pytest.mark.parametrize("mark", [ALICE, ODD, Mark("a", {"b": 1.0}), Mark("ab", {"b": 1.0})], ids=str)
@pytest.mark.parametrize("suffix", WRITE_SUFFIXES)
def test_a_file_of_every_format_carries_its_mark_and_sounds_as_without(suffix: str, mark: Mark, tmp_path: Path) -> None:
    torch.manual_seed(0)
    wave = Waveform.of(0.1 * torch.randn(8001), 16000)
    plain, marked = wave.save(tmp_path / f"plain{suffix}"), tmp_path / f"marked{suffix}"
    replace(wave, mark=mark).save(marked)
    assert read_mark(plain) is None
    assert read_mark(marked) == mark
    assert comment_of(marked) == mark.line(ascii_only=suffix == ".mp3")
    again = Waveform.read(marked)
    assert again.mark == mark
    assert torch.equal(again.samples, Waveform.read(plain).samples)
    if suffix != ".mp3":  # LAME names itself there
        with soundfile.SoundFile(marked) as file:
            assert file.software.startswith(f"vczoo {mark.vczoo}")


def test_a_wavs_mark_stands_in_its_riff_info_as_utf_8(tmp_path: Path) -> None:
    with SoundWriter(tmp_path / "a.wav", 16000, mark=ODD) as file:
        file.write(np.full(8000, 0.1, np.float32))
    content = (tmp_path / "a.wav").read_bytes()
    assert struct.unpack("<I", content[4:8])[0] == len(content) - 8
    at = content.index(b"ICMT")
    (length,) = struct.unpack("<I", content[at + 4 : at + 8])
    assert content[at + 8 : at + 8 + length].rstrip(b"\0").decode() == str(ODD)


@pytest.mark.parametrize("comment", ["x", "xy", str(ALICE)])
def test_chunks_of_any_order_and_length_are_read(comment: str, tmp_path: Path) -> None:
    info = comment.encode()
    info = b"INFOICMT" + struct.pack("<I", len(info)) + info + b"\0" * (len(info) % 2)
    chunks = {
        b"fmt ": struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16),
        b"LIST": info,
        b"junk": b"123",
        b"data": np.full(4001, 3000, "<i2").tobytes(),
    }
    for number, order in enumerate([(b"fmt ", b"junk", b"LIST", b"data"), (b"fmt ", b"data", b"junk", b"LIST")]):
        body = b"".join(
            name + struct.pack("<I", len(chunks[name])) + chunks[name] + b"\0" * (len(chunks[name]) % 2)
            for name in order
        )
        path = tmp_path / f"{number}.wav"
        path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body)
        assert read_mark(path) == (ALICE if comment == str(ALICE) else None)
        assert Waveform.read(path).samples.shape == (1, 4001)


def test_what_is_made_of_a_waveform_keeps_its_mark() -> None:
    wave = Waveform(torch.randn(2, 16000), 16000, torch.tensor([16000, 9000]), ALICE)
    made = [wave[1], wave.to("cpu"), wave.resample(8000), wave.resample(16000), wave.trim(), *wave.parts(0.4)]
    assert [one.mark for one in made] == [ALICE] * (5 + 3 + 2)
    plain = Waveform.of(torch.randn(100), 16000)
    assert plain.mark is None
    assert Waveform.batch([wave[0], wave[1]]).mark == ALICE
    assert Waveform.batch([wave[0], replace(wave[1], mark=ODD)]).mark is None
    assert Waveform.batch([wave[0], plain]).mark is None


@pytest.mark.parametrize("fault", ["absent", "text", "empty", "folder"])
def test_what_is_no_sound_file_is_one_error(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    if fault == "folder":
        path.mkdir()
    elif fault != "absent":
        path.write_text("not audio at all" * (fault == "text"))
    with pytest.raises(AudioError, match=r"a\.wav: "):
        read_mark(path)


@pytest.mark.parametrize("suffix", WRITE_SUFFIXES)
def test_a_comment_of_megabytes_is_no_mark(suffix: str, tmp_path: Path) -> None:
    assert read_mark(sound(tmp_path / f"a{suffix}", "z" * 3_000_000)) is None
    assert read_mark(sound(tmp_path / f"b{suffix}", str(ALICE)[:-1] + "; note " + "z" * 3_000_000 + ")")) is None


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_comment_that_is_not_utf_8_is_no_mark(suffix: str, tmp_path: Path) -> None:
    path = sound(tmp_path / f"a{suffix}", str(replace(ALICE, recipe="quite")))
    assert read_mark(path) is not None
    path.write_bytes(path.read_bytes().replace(b"quite", b"qu\xe9te"))
    assert read_mark(path) is None


@pytest.fixture(scope="module")
def converter(made_run: Path) -> vczoo.Converter:
    loaded = vczoo.load(made_run)
    loaded.run.revision = "here"
    return loaded


def test_a_conversion_is_marked_unless_told_not_to(
    converter: vczoo.Converter, voices_folder: Path, tmp_path: Path
) -> None:
    source = voices_folder / "alice" / "0.wav"
    expected = Mark("demo", {"bob": 1.0}, run="here")
    made = converter.convert(source, "bob")
    assert made.mark == expected
    assert read_mark(made.save(tmp_path / "a.wav")) == expected
    converter.convert_file(source, tmp_path / "b.flac", "bob")
    assert read_mark(tmp_path / "b.flac") == expected
    again = converter.convert(tmp_path / "a.wav", {"bob": 2 / 3, "carol": 1 / 3})
    assert again.mark == replace(expected, shares={"bob": 0.6667, "carol": 0.3333})
    assert converter.convert(tmp_path / "a.wav", "bob", mark=False).mark is None
    converter.convert_file(source, tmp_path / "c.ogg", "bob", mark=False)
    assert read_mark(tmp_path / "c.ogg") is None


def test_a_long_conversion_is_marked(converter: vczoo.Converter, voices_folder: Path, tmp_path: Path) -> None:
    wave = Waveform.read(voices_folder / "alice" / "0.wav")
    long = Waveform.of(wave.samples[0].repeat(60)[: 31 * 16000], 16000)
    assert converter.convert(long, "bob").mark == Mark("demo", {"bob": 1.0}, run="here")
    converter.convert_file(long, tmp_path / "a.wav", "bob")
    assert read_mark(tmp_path / "a.wav") == Mark("demo", {"bob": 1.0}, run="here")


def test_a_recipe_without_a_run_leaves_the_run_out(voices_folder: Path, small: tuple[str, ...]) -> None:
    fresh = vczoo.load("demo", small)
    source = voices_folder / "alice" / "0.wav"
    fresh.enroll("ann", source)
    assert str(fresh.convert(source, "ann").mark).endswith("; recipe demo; voice ann)")


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vczoo", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        captured = capsys.readouterr()
        return int(done.value.code or 0), captured.out, captured.err

    return call


def test_the_command_line_marks_says_so_and_reads_it(
    run: Run, made_run: Path, voices_folder: Path, tmp_path: Path
) -> None:
    source, marked, plain = voices_folder / "alice" / "0.wav", tmp_path / "marked.wav", tmp_path / "plain.wav"
    _, out, _ = run("convert", made_run, source, "--voice", "bob", "--out", marked)
    assert out.endswith(" s in the voice of bob, marked as synthetic\n")
    _, out, _ = run("convert", made_run, source, "--voice", "bob", "--out", plain, "--no-mark")
    assert out.endswith(" s in the voice of bob\n")
    code, out, _ = run("provenance", marked)
    assert (code, out) == (0, f"{marked}: {read_mark(marked)}\n")
    assert "recipe demo; " in out
    assert out.endswith("voice bob)\n")
    code, out, _ = run("provenance", marked, plain, marked)
    assert (code, len(out.splitlines())) == (1, 3)
    assert "no mark" in out
    assert "proves nothing" in out
    code, out, err = run("provenance", tmp_path / "none.wav", plain)
    assert (code, len(out.splitlines())) == (2, 1)
    assert err.startswith("error: ")
    folder = voices_folder / "alice"
    for option, told in (("--mark", True), ("--no-mark", False)):
        _, out, _ = run("convert", made_run, folder, "--voice", "bob", "--out", tmp_path / option, option)
        assert out.endswith("marked as synthetic\n") == told
        assert (read_mark(tmp_path / option / "3.wav") is not None) == told
