"""The help: sections, examples that parse, no noise, and what a wrong option gets."""

from __future__ import annotations

import re
import shlex
from importlib import metadata
from pathlib import Path

import pytest
import typer

import vczoo
from tests.unit.cli.conftest import Command
from vczoo.cli.app import app
from vczoo.cli.command_table import COMMAND_TABLE

ROOT = typer.main.get_command(app)
EXAMPLES = {name: described.example for commands in COMMAND_TABLE.values() for name, described in commands.items()}


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_every_command_is_in_a_section_with_a_whole_summary(command: Command) -> None:
    assert set(EXAMPLES) == set(ROOT.commands)  # type: ignore[attr-defined]
    code, out, _ = command("-h")
    assert code == 0
    assert [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")] == [
        "Options:",
        "Use a voice:",
        "Make a voice:",
        "Measure:",
        "Share:",
        "Extend:",
    ]
    for commands in COMMAND_TABLE.values():
        for name, (summary, _) in commands.items():
            assert re.search(rf"^  {name} +{re.escape(summary)}$", out, re.MULTILINE)


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_the_example_of_a_command_parses(name: str) -> None:
    vczoo, command, *words = shlex.split(EXAMPLES[name])
    assert (vczoo, command) == ("vczoo", name)
    parent = ROOT.make_context("vczoo", [name], resilient_parsing=True)
    ROOT.commands[name].make_context(name, words, parent=parent)  # type: ignore[attr-defined]


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("name", [*EXAMPLES, "plugins install", "plugins uninstall", "plugin new", "plugin check"])
def test_help_is_short_of_noise_and_has_an_example(command: Command, name: str, option: str) -> None:
    code, out, _ = command(*name.split(), option)
    assert code == 0
    assert "Example:\n    vczoo " in out
    assert not re.search(r"list\[|\]\.\.\.\]|<\w+>|\{(?!name\}|voice\}|folder\})", out)
    assert "VALUE]...]" not in out


def test_the_version_is_printed(command: Command) -> None:
    assert command("--version") == (0, f"vczoo {metadata.version('vczoo')}\n", "")


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        (["train", "demo", "--data", "x", "--out", "y", "--epochs", "2"], "training.epochs=2"),
        (["train", "demo", "--data", "x", "--out", "y", "--batch-size=4"], "training.batch_size=4"),
        (["check", "demo", "--seed"], "training.seed=…"),
    ],
)
def test_a_setting_with_dashes_gets_its_name(command: Command, words: list[str], setting: str) -> None:
    code, _, err = command(*words)
    option = next(word.partition("=")[0] for word in reversed(words) if word.startswith("--"))
    assert code == 1
    assert err == f"error: there is no option {option}; settings are written without dashes: {setting}\n"


def test_other_unknown_options_are_told_as_such(command: Command) -> None:
    code, _, err = command("train", "demo", "--foo")
    assert (code, "No such option: --foo" in err) == (2, True)
    code, _, err = command("convert", "demo", "a.wav", "--epochs", "2")  # which has no settings
    assert (code, "No such option: --epochs" in err) == (2, True)


def test_a_shell_can_complete(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "--install-completion" in command("-h")[1]


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        ("plugins list", "vczoo plugins"),
        ("plugin list", "vczoo plugins"),
        ("plugin install timm", "vczoo plugins install NAME"),
        ("plugins new odd", "vczoo plugin new NAME --kind KIND"),
    ],
)
def test_commands_for_plugins_name_each_other(command: Command, words: str, instead: str) -> None:
    status, _, err = command(*words.split())
    assert status == 1
    assert f"use `{instead}`" in err


def test_a_folder_without_a_project_is_not_a_plugin(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = command("plugin", "check")
    assert status == 1
    assert "it has no pyproject.toml" in err
    assert "vczoo plugin new NAME --kind KIND" in err
    assert "Errno" not in err


def test_a_bundled_run_is_verified_by_its_name(command: Command) -> None:
    status, out, _ = command("verify", "base")
    assert (status, "failed" in out, "every tensor is accounted for" in out) == (0, False, True)


def test_info_on_a_folder_names_the_command_for_folders(command: Command) -> None:
    folder = Path(vczoo.__file__).parent / "assets" / "base"
    status, _, err = command("info", folder)
    assert (status, f"use `vczoo show {folder}`" in err) == (1, True)
