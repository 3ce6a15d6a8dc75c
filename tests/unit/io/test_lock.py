"""The lock file: one holder at a time, told by name, and nothing left behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vczoo.errors import RunError
from vczoo.io import lock
from vczoo.io.lock import held


def test_one_at_a_time_and_the_other_is_told_who(tmp_path: Path) -> None:
    file = tmp_path / "out" / ".lock"
    with (
        held(file, what="another training runs here"),
        pytest.raises(RunError, match=rf"another training runs here \(process {os.getpid()} on .+\); wait") as caught,
        held(file, what="another training runs here"),
    ):
        pass
    assert str(tmp_path / "out") in str(caught.value)
    with held(file, what="busy"):
        pass


def test_folders_that_stayed_empty_are_removed_and_others_kept(tmp_path: Path) -> None:
    with held(tmp_path / "a" / "b" / ".lock", what="busy"):
        pass
    assert list(tmp_path.iterdir()) == []
    with held(tmp_path / "a" / "b" / ".lock", what="busy"):
        (tmp_path / "a" / "file").touch()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["file"]


def test_a_lock_that_a_crash_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("process 1 on another")
    with held(tmp_path / ".lock", what="busy"):
        assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} on ")


def test_a_lock_whose_file_was_removed_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, before, calls = tmp_path / ".lock", lock._lock, []

    def remove_first(descriptor: int) -> None:
        before(descriptor)
        if not calls:
            file.unlink()
        calls.append(descriptor)

    monkeypatch.setattr(lock, "_lock", remove_first)
    with held(file, what="busy"):
        assert len(calls) == 2
        assert file.is_file()


def test_a_disk_without_locks_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock", refuse)
    with held(tmp_path / ".lock", what="busy"):
        pass


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunError, match=r"file/sub: no file can be created there"),
        held(tmp_path / "file" / "sub" / ".lock", what="busy"),
    ):
        pass
