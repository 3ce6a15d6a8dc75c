"""Names of files that hold escape sequences reach the terminal of no command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import vczoo
from tests.unit.cli.conftest import Command

NAME = "x\x1b]0;title\x07\x1b[2J\u202e\nerror: y"
SHOWN = r"x\x1b]0;title\x07\x1b[2J\u202e"


@pytest.fixture
def desk(tmp_path: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, source in {f"{NAME}.wav": "bob/0.wav", "hello.wav": "bob/1.wav"}.items():
        for folder in (".", f"mine/{NAME}", "people/bob"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(voices_folder / source, tmp_path / folder / name)
    (tmp_path / "people" / "bob" / f"{NAME} broken.wav").write_bytes(b"RIFF")
    (tmp_path / "people" / "bob" / f"{NAME}.xyz").touch()
    (tmp_path / "people" / f"{NAME}.wav").touch()
    (tmp_path / f"{NAME} broken.wav").write_bytes(b"RIFF")
    (tmp_path / f"{NAME}.csv").write_text(f"path,speaker,{NAME.replace(chr(10), '')}\nnone.wav,bob,\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMANDS = (
    ("convert", "RUN", f"{NAME}.wav", "--voice", "bob", "--out", f"{NAME}-out.wav"),
    ("convert", "RUN", f"{NAME}.wav", "--voice", f"{NAME}.wav"),
    ("convert", "RUN", f"{NAME} broken.wav", "--voice", "bob"),
    ("convert", "RUN", f"{NAME} none.wav", "--voice", "bob"),
    ("convert", "RUN", "hello.wav", "--voice", f"./mine/{NAME} none"),
    ("convert", "RUN", "hello.wav", "--voice", f"{NAME} none"),
    ("convert", "RUN", "people", "--voice", "bob", "--out", f"{NAME}-out"),
    ("convert", f"{NAME} run", "hello.wav", "--voice", "bob"),
    ("provenance", f"{NAME}.wav", f"{NAME} broken.wav"),
    ("enroll", "RUN", "dora", f"{NAME}.wav", "people/bob"),
    ("enroll", "RUN", NAME, "hello.wav"),
    ("enroll", "RUN", "dora", f"{NAME}*.flac"),
    ("identify", "RUN", f"{NAME} broken.wav"),
    ("train", "demo", "--data", f"{NAME}.csv", "--out", "out"),
    ("train", "demo", "--data", f"{NAME} none", "--out", "out"),
    ("train", "demo", "--data", f"mine/{NAME}", "--out", "out"),
    ("train", f"{NAME}.yaml", "--data", "people", "--out", "out"),
    ("evaluate", "RUN", "--trials", f"{NAME}.csv", "--out", "out"),
    ("check", f"{NAME}.yaml"),
    ("check", "demo", f"heads.{NAME}=1"),
    ("show", NAME),
    ("copy", "demo", f"{NAME}/x.txt"),
    ("voices", f"{NAME}/run"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=[f"{words[0]}-{number}" for number, words in enumerate(COMMANDS)])
def test_a_name_cannot_control_the_terminal(command: Command, desk: Path, run_folder: Path, words: list[str]) -> None:
    _, out, err = command(*(run_folder if word == "RUN" else word for word in words))
    assert r"\x1b" in out + err
    for text in (out, err):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_the_report_of_a_corpus_shows_names_in_their_lines(desk: Path) -> None:
    report = vczoo.read_corpus("people", validation=0, test=0).report()
    assert SHOWN + r"\nerror: y broken.wav: " in report
    assert SHOWN + r"\nerror: y.xyz" in report
    assert all(not line.startswith("error") for line in report.splitlines())
