"""`vczoo prepare`: the table, the JSON, and what to type next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command
from tests.unit.data.test_preparation import save, spoken
from vczoo.data import preparation


@pytest.fixture(autouse=True)
def _without_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "load_speech_detector", lambda: None)


def test_a_table_says_what_became_of_each_recording(command: Command, tmp_path: Path) -> None:
    save(tmp_path / "in" / "alice" / "long.wav", spoken(20.0))
    save(tmp_path / "in" / "alice" / "short.wav", spoken(0.5))
    code, out, err = command("prepare", tmp_path / "in", tmp_path / "out")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["recording", "length", "pieces", "kept", "dropped"]
    assert lines[2].endswith("1 too short")
    assert lines[-1] == f"next: vczoo train base-partialfreeze --data {tmp_path / 'out'} --out runs/mine"
    assert "long.wav" in err  # progress


def test_json_names_every_piece(command: Command, tmp_path: Path) -> None:
    source = save(tmp_path / "me.wav", spoken(20.0))
    code, out, _ = command("prepare", source, tmp_path / "out", "--json")
    (recording,) = json.loads(out)["recordings"]
    assert (code, recording["recording"], recording["fault"]) == (0, str(source), "")
    assert all(Path(piece["file"]).is_file() and piece["dropped"] == "" for piece in recording["pieces"])
    code, _, _ = command("prepare", source, tmp_path / "out")
    assert code == 1


def test_a_single_voice_needs_a_name(command: Command, tmp_path: Path) -> None:
    source = save(tmp_path / "me.wav", spoken(3.0))
    _, out, _ = command("prepare", source, tmp_path / "out")
    assert "--voice NAME" in out.splitlines()[-1]
