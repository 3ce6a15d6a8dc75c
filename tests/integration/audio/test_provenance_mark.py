"""Marks: what a converted file says of itself, in every format and through every way to make one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import vczoo
from tests.unit.audio.test_provenance_mark import ALICE, sound
from vczoo.audio.provenance_mark import Mark
from vczoo.audio.reader import read_mark


@pytest.fixture(scope="module")
def converter(trained_folder: Path) -> vczoo.Converter:
    loaded = vczoo.load(trained_folder)
    loaded.run.revision = "here"
    return loaded


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_folder_is_marked_by_one_process_or_several(
    jobs: int, converter: vczoo.Converter, voices_folder: Path, tmp_path: Path
) -> None:
    for mark in (True, False):
        out = tmp_path / str(mark)
        made = vczoo.convert_folder(
            converter, voices_folder / "alice", out, "bob", jobs=jobs, mark=mark, progress=False
        )
        expected = Mark("demo", {"bob": 1.0}, run="here") if mark else None
        assert [read_mark(one.out) for one in made] == [expected] * 6


def test_reading_a_mark_loads_no_torch(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom vczoo.cli.app import app\n"
        f"app(['provenance', {str(sound(tmp_path / 'a.wav', str(ALICE)))!r}], standalone_mode=False)\n"
        "import vczoo\nassert vczoo.read_mark and vczoo.Mark\n"
        "sys.exit('torch was imported' if 'torch' in sys.modules else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(ALICE) in done.stdout
