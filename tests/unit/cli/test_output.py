"""What a command prints: less with --quiet, more with --verbose, a traceback with --debug, and JSON with --json."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.unit.cli.conftest import Command
from vczoo.cli import terminal
from vczoo.cli.app import app
from vczoo.cli.json_output import print_json
from vczoo.io.log import logger
from vczoo.io.progress import FileBar, ProgressBar

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def commands(group: Any = None, path: str = "") -> dict[str, Any]:
    """Every command of vczoo, by the words that call it."""
    group = group or typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():
        words = f"{path} {name}".strip()
        found |= {words: command}
        if hasattr(command, "commands"):
            found |= commands(command, words)
    return found


@pytest.mark.parametrize("words", [["-q", "voices", "demo"], ["voices", "demo", "--quiet"]])
def test_quiet_leaves_remarks_out(command: Command, words: list[str]) -> None:
    assert command(*words) == (0, "", "")
    assert "demo has no voice yet" in command("voices", "demo")[2]


def test_quiet_turns_progress_bars_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(logger, "level", logging.ERROR)
    with FileBar(2) as bar, ProgressBar() as other:
        assert bar.progress.disable
        other.say("an epoch")
    assert capsys.readouterr().err == ""


def test_verbose_says_what_is_done(command: Command, run_folder: Path, voices_folder: Path) -> None:
    recording = voices_folder / "bob" / "0.wav"
    assert command("identify", run_folder, recording)[2] == ""
    assert command("identify", run_folder, recording, "-v")[2].startswith(f"loaded run {run_folder}")
    assert command("identify", run_folder, recording, "--debug")[2].startswith(f"INFO loaded run {run_folder}")


def test_verbosity_ends_with_the_command(command: Command) -> None:
    before = logger.level, list(logger.handlers), os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS")
    for option in ("-q", "-v", "--debug"):
        command("check", "demo", option)
        assert (logger.level, logger.handlers, os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS")) == before


def test_a_traceback_is_for_debug_alone(command: Command) -> None:
    code, out, err = command("check", "dmeo")
    assert (code, out, err.count("\n"), err.startswith("error: ")) == (1, "", 1, True)
    code, _, err = command("check", "dmeo", "--debug")
    assert (code, err.startswith("Traceback"), "\nerror: no recipe is called 'dmeo'" in err) == (1, True, True)


def test_a_fault_of_vczoo_has_a_status_of_its_own(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("vczoo.conversion.voice_listing.list_voices", fail)
    code, out, err = command("voices", "base")
    assert (code, out, "Traceback" in err) == (70, "", False)
    assert err.startswith("error: unexpected ZeroDivisionError: division by zero\n")
    assert "--debug" in err
    assert "Traceback" in command("voices", "base", "--debug")[2]
    assert json.loads(command("voices", "base", "--json")[1])["error"]["status"] == 70


@pytest.mark.parametrize(
    ("words", "kind", "status", "message"),
    [
        (["voices", "dmeo"], "UnknownNameError", 1, "did you mean 'demo'"),
        (["voicse", "base"], "UsageError", 2, "Did you mean 'voices'?"),
        (["voices", "base", "--jsno"], "UsageError", 2, "--json"),
        (["voices"], "UsageError", 2, "Missing argument 'RUN'"),
        (["list", "no-such-recipe"], "VczooError", 1, "no recipe matches"),
        (["plugins", "lst"], "UsageError", 2, "No such command 'lst'"),
    ],
)
def test_an_error_is_json_where_json_is_asked_for(
    command: Command, words: list[str], kind: str, status: int, message: str
) -> None:
    code, out, err = command(*words, "--json")
    error = json.loads(out)["error"]
    assert (code, err) == (status, "")
    assert (error["type"], error["status"]) == (kind, status)
    assert message in error["message"]


def test_tables_are_json(command: Command) -> None:
    def read(*words: object) -> Any:
        code, out, err = command(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    (recipe,) = read("list", "demo-knn")
    assert (recipe["recipe"], recipe["download"]) == ("demo-knn", "offline")
    assert "made_of" in recipe
    assert {"kind": "freezing"}.items() <= next(
        row for row in read("list", "--parts") if row["kind"] == "freezing"
    ).items()
    assert "partial" in [row["part"] for row in read("list", "--parts", "freezing")]
    assert {"name": "woman-1", "origin": "bundled", "seconds": None} in read("voices", "base")
    assert {check["state"] for check in read("verify", "base")} <= {"ok", "not checked"}
    assert "vczoo" in [plugin["distribution"] for plugin in read("plugins")]


def test_identify_and_provenance_are_json(command: Command, run_folder: Path, voices_folder: Path) -> None:
    recording = voices_folder / "bob" / "0.wav"
    _, out, err = command("identify", run_folder, recording, "--json")
    scores = json.loads(out)
    assert ({score["name"] for score in scores}, err) == ({"alice", "bob", "carol"}, "")
    assert all(isinstance(score["cosine"], float) for score in scores)
    code, out, err = command("provenance", recording, "none.wav", "--json")
    unmarked, missing = json.loads(out)
    assert (code, err, unmarked) == (2, "", {"file": str(recording), "mark": None})
    assert "none.wav: no such file" in missing["error"]


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [float("inf"), 1.5, True, None], "c": Path("x")})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5, True, None], "c": "x"}


def test_every_table_has_json_and_its_schema_is_documented() -> None:
    rows = {
        match[1] for match in re.finditer(r"^\| `([a-z -]+)` \| ", PAGE.read_text().split("## JSON")[1], re.MULTILINE)
    }
    with_json = {name for name, command in commands().items() if any("--json" in part.opts for part in command.params)}
    assert rows == with_json


def test_every_status_is_documented() -> None:
    section = PAGE.read_text().split("## Exit status")[1].split("\n## ")[0]
    assert {int(status) for status in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)} == {
        0,
        1,
        2,
        70,
        129,
        130,
        141,
        143,
    }


def test_every_command_takes_the_options_of_all() -> None:
    for name, command in commands().items():
        context = typer.Context(command, info_name=name)
        options = {option for part in command.get_params(context) for option in part.opts}
        assert {"-q", "-v", "--debug", "-h", "--help"} <= options | {"-h"}, name


def test_a_device_can_be_chosen_wherever_something_is_computed() -> None:
    computing = {"convert", "identify", "transcribe", "classify", "demo", "enroll", "train", "evaluate", "sweep"}
    computing |= {"find-rate", "train-vocoder", "push", "report", "ui"}
    with_device = {
        name for name, command in commands().items() if any("--device" in part.opts for part in command.params)
    }
    assert with_device == computing


def test_ctrl_c_is_a_word(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for module in ("vczoo.hub.pull.pull", "vczoo.training.lr_finder.find_learning_rate", "vczoo.conversion.load.load"):
        monkeypatch.setattr(module, interrupt)
    for words in (
        ["pull", "me/x"],
        ["find-rate", "demo", "--data", "x"],
        ["transcribe", "base", "x"],
        ["push", "base", "me/x", "--license", "mit", "--consent", "synthetic"],
    ):
        code, _, err = command(*words)
        assert (code, err) == (130, "interrupted\n"), words


@pytest.mark.parametrize("columns", ["80", "60", "40"])
def test_no_summary_is_cut_off(command: Command, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    _, out, _ = command("--help")
    assert "..." not in out.replace("[ARGS]...", "")
    assert max(map(len, out.splitlines())) <= max(50, int(columns))  # typer lays out 50 columns at least


def test_a_pipe_gets_no_color(command: Command) -> None:
    assert "\x1b" not in command("list")[1] + command("plugins")[1]


def test_no_color_is_obeyed_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal.print_table([{"voice": "alice", "cosine": "0.9"}])
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", capsys.readouterr().out)


def test_a_narrow_terminal_breaks_no_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    rows = [{"plugin": "transformers", "distribution": "vczoo-transformers", "state": "loaded", "reason": ""}]
    terminal.print_table(rows)
    assert capsys.readouterr().out == ("plugin: transformers\n  distribution: vczoo-transformers\n  state: loaded\n")
    monkeypatch.setenv("COLUMNS", "60")
    terminal.print_table(rows)
    assert [line.split() for line in re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()] == [
        ["plugin", "distribution", "state", "reason"],
        ["transformers", "vczoo-transformers", "loaded"],
    ]
