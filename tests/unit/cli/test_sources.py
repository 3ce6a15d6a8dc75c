"""Sources and outputs of `vczoo convert`: wildcards, folders, default names, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from vczoo.cli.sources import expand_sources, plan_outputs
from vczoo.errors import AudioError, VczooError


@pytest.fixture
def desk(tmp_path: Path, tone, monkeypatch: pytest.MonkeyPatch) -> Path:  # type: ignore[no-untyped-def]
    for name in ("a.wav", "b.wav", "takes/1.wav", "takes/2.flac", "takes/deep/3.wav"):
        tone(tmp_path / name)
    (tmp_path / "takes" / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(*words: str, out: str = "", voice: str = "bob", suffix: str = ".wav", overwrite: bool = False) -> list[str]:
    pairs = plan_outputs(expand_sources(words), out, voice, suffix, overwrite=overwrite)
    return [target.as_posix() for _, target in pairs]


def test_wildcards_name_sound_files(desk: Path) -> None:
    assert [str(path) for path in expand_sources(["b.wav", "takes/*", "?.wav"])] == [
        "b.wav",
        "takes/1.wav",
        "takes/2.flac",
        "takes/deep/3.wav",
        "a.wav",
    ]
    assert len(expand_sources(["**/*.wav"])) == 4
    with pytest.raises(AudioError, match=r"takes/\*\.mp3: no sound file matches"):
        expand_sources(["takes/*.mp3"])


def test_a_file_with_a_wildcard_in_its_name_is_itself(desk: Path, tone) -> None:  # type: ignore[no-untyped-def]
    tone(desk / "[a].wav")
    assert expand_sources(["[a].wav"]) == [Path("[a].wav")]


@pytest.mark.parametrize(
    ("voice", "target"),
    [
        ("bob", "a-as-bob.wav"),
        ("takes/1.wav", "a-as-1.wav"),
        ("./takes", "a-as-takes.wav"),
        ("alice:0.7,takes/1.wav:0.3", "a-as-alice+1.wav"),
        ("", "a-converted.wav"),
    ],
)
def test_without_out_the_name_says_the_voice(desk: Path, voice: str, target: str) -> None:
    assert plan("a.wav", voice=voice) == [target]


def test_where_one_and_several_go(desk: Path) -> None:
    (desk / "here").mkdir()
    assert plan("a.wav", out="made.flac") == ["made.flac"]
    assert plan("a.wav", out="new/") == ["new/a.wav"]
    assert plan("a.wav", out="here") == ["here/a.wav"]
    assert plan("a.wav", "takes/2.flac", out="new") == ["new/a.wav", "new/2.wav"]
    assert plan("a.wav", "takes/2.flac", out="new", suffix="keep") == ["new/a.wav", "new/2.flac"]
    assert plan("a.wav", "b.wav") == ["a-as-bob.wav", "b-as-bob.wav"]
    assert plan("takes", out="new") == ["new/1.wav", "new/2.wav", "new/deep/3.wav"]
    assert plan("takes") == ["takes-as-bob/1.wav", "takes-as-bob/2.wav", "takes-as-bob/deep/3.wav"]


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (["a.wav"], {"out": "x.aif"}, "must end in .wav, .flac, .ogg or .mp3; to write into a folder"),
        (["a.wav"], {"out": "x"}, "add a slash: x/"),
        (
            ["a.wav", "b.wav"],
            {"out": "x.wav"},
            "--out x.wav is one file, but there are 2 recordings; name a folder: x/",
        ),
        (["a.wav"], {"out": "b.wav"}, "b.wav already exists; choose another --out, or pass --overwrite"),
        (["a.wav", "b.wav"], {"out": "."}, "2 files cannot be written; choose another folder, or overwrite:"),
        (["a.wav", "none.wav", "no.wav"], {"out": "x"}, "no.wav: no such file"),
        (["a.wav", "takes"], {"out": "x"}, "takes is a folder; convert it by itself"),
        (["a.wav", "b.wav"], {"out": "x", "suffix": "wav"}, "suffix is one of .wav"),
        (["a.wav", "takes/notes.txt"], {"out": "x"}, "notes.txt: the file is empty"),
        (["a.wav"], {"out": "a.wav/b.wav"}, "a file is in the place of an output folder"),
    ],
)
def test_mistakes_are_sentences(desk: Path, words: list[str], options: dict[str, str], message: str) -> None:
    with pytest.raises(VczooError) as error:
        plan(*words, **options)  # type: ignore[arg-type]
    assert message in str(error.value)
    assert "('" not in str(error.value)


def test_two_sources_of_one_name_are_told_apart(desk: Path, tone) -> None:  # type: ignore[no-untyped-def]
    tone(desk / "other" / "a.wav")
    with pytest.raises(AudioError, match="would become it"):
        plan("a.wav", "other/a.wav", out="x/")


def test_every_missing_source_is_told(desk: Path) -> None:
    with pytest.raises(AudioError) as error:
        plan("none.wav", "a.wav", "no.wav", out="x/")
    assert str(error.value).count("no such file") == 2
