"""`vczoo demo`: its folder, its last lines and Ctrl-C. What it measures is in tests/integration/cli/test_demo.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command
from vczoo.cli import demo


def test_the_default_folder_is_a_new_one(tmp_path: Path) -> None:
    for name in ("vczoo-demo", "vczoo-demo-2", "vczoo-demo-3"):
        folder = demo.new_folder(tmp_path / "vczoo-demo")
        assert folder == tmp_path / name
        folder.mkdir()


def test_the_last_line_is_what_to_type_next(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vczoo-demo").mkdir()
    made = demo.DemoResult([{"what": "similarity", "value": "0.8"}], ["(a scale)"], [Path("a.wav")], "vczoo convert x")
    folders = []
    monkeypatch.setattr(demo, "run_demo", lambda out, recordings, voice, device: folders.append(out) or made)
    code, out, _ = command("demo", "me.wav")
    assert code == 0
    assert out.splitlines()[-3:] == ["(a scale)", "a.wav", "next: vczoo convert x"]
    assert folders == [Path("vczoo-demo-2")]


@pytest.mark.parametrize(
    ("words", "function", "message"),
    [
        (["demo", "me.wav", "--out", "mine"], "vczoo.cli.demo.run_demo", "mine has what was finished"),
        (["enroll", "base", "me", "me.wav", "--out", "x"], "vczoo.conversion.load.load", "nothing was written"),
        (
            ["convert", "base", "me.wav", "--voice", "man-1"],
            "vczoo.conversion.load.load",
            "no incomplete file was left",
        ),
        (["evaluate", "base", "--trials", "t.csv"], "vczoo.conversion.evaluate.evaluate", "no figures were written"),
    ],
)
def test_ctrl_c_says_what_is_left(
    command: Command,
    tmp_path: Path,
    tone,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    function: str,
    message: str,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    tone(tmp_path / "me.wav")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(function, interrupted)
    code, _, err = command(*words)
    assert (code, err.startswith("interrupted; "), message in err) == (130, True, True)
