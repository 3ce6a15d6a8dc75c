"""What a command says about mistyped words, folders that cannot be read, narrow terminals and Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Command
from tests.unit.cli.test_output import commands

# Each command that may take long, how it is called, and the function that does its work.
LONG = {
    "convert": (["base", "me.wav", "--voice", "man-1"], "vczoo.conversion.load.load"),
    "enroll": (["base", "me", "me.wav", "--out", "run"], "vczoo.conversion.load.load"),
    "identify": (["base", "me.wav"], "vczoo.conversion.load.load"),
    "transcribe": (["base", "me.wav"], "vczoo.conversion.load.load"),
    "classify": (["base", "me.wav"], "vczoo.conversion.load.load"),
    "push": (["base", "me/x", "--license", "mit", "--consent", "synthetic"], "vczoo.conversion.load.load"),
    "pull": (["me/x"], "vczoo.hub.pull.pull"),
    "verify": (["me/x"], "vczoo.hub.verify.verify"),
    "search": (["x"], "vczoo.hub.search.search"),
    "prepare": (["me.wav", "out"], "vczoo.data.preparation.prepare"),
    "train": (["demo", "--data", "me.wav", "--out", "run"], "vczoo.training.finetune.finetune"),
    "train-vocoder": (["base", "--data", "me.wav", "--out", "run"], "vczoo.training.vocoder.train.train_vocoder"),
    "find-rate": (["demo", "--data", "me.wav"], "vczoo.training.lr_finder.find_learning_rate"),
    "sweep": (["demo", "--grid", "seed=0,1", "--data", "me.wav", "--out", "s"], "vczoo.training.sweeps.sweep.sweep"),
    "evaluate": (["base", "--trials", "trials.csv"], "vczoo.conversion.evaluate.evaluate"),
    "average": (["a", "b", "--out", "mean"], "vczoo.conversion.weight_mean.average"),
    "demo": (["me.wav"], "vczoo.cli.demo.run_demo"),
    "report": (["base"], "vczoo.reporting.write.write_report"),
}


@pytest.fixture
def desk(tmp_path: Path, tone: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recording, `me.wav`."""
    tone(tmp_path / "me.wav", seconds=2.0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def locked(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that nobody may list. Its mode alone would not stop root."""
    folder = desk / "locked"
    folder.mkdir()
    scandir = os.scandir

    def refusing(path: Any = ".") -> Any:
        if Path(os.fspath(path)).name == "locked":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return folder


@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_is_answered_by_every_long_command(
    name: str, command: Command, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    words, work = LONG[name]
    monkeypatch.setattr(work, interrupt)
    code, out, err = command(name, *words)
    assert (code, out) == (130, "")
    assert err.splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in err


def test_every_command_that_computes_is_among_the_long_ones() -> None:
    computing = {name for name, each in commands().items() if any("--device" in part.opts for part in each.params)}
    assert computing <= LONG.keys() | {"check", "provenance", "ui"}  # ui is ended by Ctrl-C


@pytest.mark.parametrize(
    "words",
    [
        ("convert", "base", "locked", "--voice", "man-1", "--out", "out"),
        ("enroll", "base", "me", "locked", "--out", "run"),
        ("prepare", "locked", "out"),
        ("train", "demo", "--data", "locked", "--out", "run"),
        ("demo", "locked"),
    ],
)
def test_a_folder_without_permission_is_named(words: tuple[str, ...], command: Command, locked: Path) -> None:
    code, out, err = command(*words)
    assert (code, out) == (1, "")
    assert "locked: cannot be listed (Permission denied); check its permissions" in err
    assert sorted(path.name for path in locked.parent.iterdir()) == ["locked", "me.wav"]


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["convrt"], "Did you mean 'convert'?"),
        (["plugin", "chek"], "Did you mean 'check'?"),
        (["convert", "--voise", "me"], "--voice"),
        (["train", "demo", "--dataa", "x"], "--data"),
    ],
)
def test_a_mistyped_command_or_option_gets_its_nearest(words: list[str], nearest: str, command: Command) -> None:
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert nearest in err


@pytest.mark.parametrize("words", [["list"], ["doctor"], ["train", "--help"], ["voices", "base"]])
def test_a_terminal_of_40_columns_breaks_no_name(
    words: list[str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setattr("vczoo.cli.terminal.is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    code, out, _ = command(*words)
    assert code == 0
    expected = {"list": "base-partialfreeze", "doctor": "huggingface_hub", "train": "--processes", "voices": "woman-1"}
    assert expected[words[0]] in out
