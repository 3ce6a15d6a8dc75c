"""Temporary files and folders, and what killed processes left of them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from vczoo.io import temporary
from vczoo.io.files import PARTIAL
from vczoo.io.temporary import sweep_partials, temporary_folder, temporary_name

needs_posix = pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions and process numbers")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def name_of_dead_process(prefix: str) -> str:
    """A name for a temporary file of a process that has ended: its number is above the largest of Linux."""
    return temporary_name(prefix).replace(f"-{os.getpid()}-", "-9999999-")


@needs_posix
def test_only_what_dead_processes_left_is_swept(tmp_path) -> None:
    (tmp_path / (name_of_dead_process(".voices") + PARTIAL)).write_text("half")
    mine = tmp_path / (temporary_name(".voices") + PARTIAL)
    mine.write_text("half")
    (tmp_path / ".notes-abcdefgh.partial").write_text("of another program")
    (tmp_path / "voices.safetensors").write_text("whole")
    sweep_partials(tmp_path)
    assert names(tmp_path) == sorted([".notes-abcdefgh.partial", mine.name, "voices.safetensors"])


@needs_posix
def test_a_process_number_that_is_used_again_is_another_process(tmp_path) -> None:
    machine, number, start = temporary_name("").split("-")[1:4]
    if start == "0":
        pytest.skip("the start of a process is known only on Linux")
    (tmp_path / f".voices-{machine}-{number}-{int(start) - 1}-00000000.partial").write_text("half")
    sweep_partials(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", [".voices-ab_12xyz.partial", ".voices-00000000-12-345-00000000.partial"])
def test_a_file_of_an_unknown_process_is_swept_after_an_hour(tmp_path, name) -> None:
    (tmp_path / name).write_text("half")
    sweep_partials(tmp_path)
    assert names(tmp_path) == [name]
    now = (tmp_path / name).stat().st_mtime
    os.utime(tmp_path / name, (now - 3601, now - 3601))
    sweep_partials(tmp_path)
    assert names(tmp_path) == []


def test_sweeping_a_folder_that_is_missing_does_nothing(tmp_path) -> None:
    sweep_partials(tmp_path / "none")


@needs_posix
def test_a_temporary_folder_is_private_and_removes_those_of_dead_processes(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = tmp_path / name_of_dead_process("vczoo-push")
    (dead / "run").mkdir(parents=True)
    (dead / "run" / "voices.safetensors").write_text("private")
    with temporary_folder("push") as folder, temporary_folder("run") as other:
        assert names(tmp_path) == sorted([folder.name, other.name])
        assert folder.stat().st_mode & 0o777 == 0o700
    assert names(tmp_path) == []


def test_the_process_of_another_user_runs(monkeypatch) -> None:
    def refuse(process: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(temporary, "_start_of", lambda process: 0)  # Linux may hide the processes of others
    monkeypatch.setattr(os, "kill", refuse)
    assert not temporary._has_ended(1, 5)
