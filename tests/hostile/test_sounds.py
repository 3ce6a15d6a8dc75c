"""Mutated and odd sound files: each is read, or refused with an error of ours, in bounded time and memory.

`benchmarks.robustness.mutated_audio` and `odd_files` do the same at length.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.robustness import mutated_audio, odd_files
from tests.support.hostile import outcome

MUTATIONS = 300
SLOW_TO_MAKE = ("FLAC of 20 hours", "FLAC of 20 hours without a length")
READ = ("1000 channels", "50 joined OGGs", "4 GB stated")  # as long as they are
DOORS = ("read", "mark", "corpus")


@pytest.mark.skipif(sys.platform != "linux", reason="it limits memory and measures it as Linux does")
def test_mutated_files_are_read_or_refused() -> None:
    result = mutated_audio.attack(MUTATIONS, seed=7)
    assert result["files"] == MUTATIONS
    assert result["read"] > MUTATIONS // 20
    assert {kind: result[kind] for kind in mutated_audio.KINDS[2:]} == dict.fromkeys(mutated_audio.KINDS[2:], 0), result


@pytest.mark.skipif(sys.platform != "linux", reason="it makes pipes, devices and sparse files")
@pytest.mark.parametrize("case", [case for case in odd_files.CASES if case not in SLOW_TO_MAKE])
def test_an_odd_file_is_an_error_at_every_door(tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    (tmp_path / "somebody").mkdir()
    odd_files.CASES[case](tmp_path / "somebody" / "odd.wav")
    told = {
        door: outcome(lambda door=door: odd_files.open_door(door, tmp_path / "somebody" / "odd.wav")) for door in DOORS
    }
    if case not in READ:
        assert told["read"]
        assert told["corpus"]
    assert all(len(text) < 1000 for text in told.values())
    assert "\n" not in capfd.readouterr().out
