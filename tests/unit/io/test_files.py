from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vczoo.io.files import PRIVATE, write_beside, write_bytes, write_fault, write_text

needs_posix = pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions and process numbers")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_makes_folders_and_replaces(tmp_path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    write_text(path, "first")
    write_text(path, "Größe")
    assert path.read_bytes() == "Größe".encode()
    assert names(path.parent) == ["c.txt"]


@pytest.mark.parametrize("name", ["x" * 249 + ".txt", "ß" * 125 + ".txt", "🎤" * 62 + ".txt"])
def test_a_name_may_be_as_long_as_the_disk_takes(tmp_path, name) -> None:
    write_text(tmp_path / name, "x")
    assert names(tmp_path) == [name]


def test_write_bytes(tmp_path) -> None:
    write_bytes(tmp_path / "a.bin", b"\x00\xff")
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\xff"


def test_a_failure_removes_the_part_and_keeps_the_old(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with write_beside(path) as beside:
            beside.write_text("half")
            assert beside.parent == path.parent  # a rename is atomic within one file system
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_an_interrupt_removes_the_part_too(tmp_path) -> None:
    def interrupt() -> None:
        with write_beside(tmp_path / "a.txt") as beside:
            beside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert names(tmp_path) == []


def test_no_overwrite_says_so_before_anything_is_written(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    entered = False
    with pytest.raises(FileExistsError), write_beside(path, overwrite=False):
        entered = True
    assert not entered
    assert names(tmp_path) == ["a.txt"]


def test_no_overwrite_of_what_came_meanwhile(tmp_path) -> None:
    path = tmp_path / "a.txt"

    def race() -> None:
        with write_beside(path, overwrite=False) as beside:
            beside.write_text("mine")
            path.write_text("theirs")

    with pytest.raises(FileExistsError):
        race()
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["a.txt"]


@needs_posix
def test_files_have_the_mode_that_the_umask_gives(tmp_path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
        assert os.umask(0o027) == 0o027, "the umask was changed"
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_the_umask_is_never_changed(tmp_path, monkeypatch) -> None:
    """Files that another thread creates at that moment would have its mode."""
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask was changed"))
    write_text(tmp_path / "a.txt", "x")


@needs_posix
def test_private_files_are_in_private_folders_that_only_their_owner_reads(tmp_path) -> None:
    write_text(tmp_path / "a" / "run" / "a.txt", "x", mode=PRIVATE)
    assert (tmp_path / "a" / "run" / "a.txt").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a" / "run").stat().st_mode & 0o777 == 0o700


def test_of_two_that_create_one_file_only_one_succeeds(tmp_path) -> None:
    path = tmp_path / "a.txt"
    first, second = write_beside(path, overwrite=False), write_beside(path, overwrite=False)
    first.__enter__().write_text("first")
    second.__enter__().write_text("second")
    first.__exit__(None, None, None)
    with pytest.raises(FileExistsError):
        second.__exit__(None, None, None)
    assert path.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_a_disk_without_hard_links_refuses_to_overwrite_too(tmp_path, monkeypatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_text(tmp_path / "a.txt", "mine", overwrite=False)
    late = write_beside(tmp_path / "b.txt", overwrite=False)
    late.__enter__().write_text("mine")
    (tmp_path / "b.txt").write_text("theirs")
    with pytest.raises(FileExistsError):
        late.__exit__(None, None, None)
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert (tmp_path / "b.txt").read_text() == "theirs"
    assert names(tmp_path) == ["a.txt", "b.txt"]


def test_a_dangling_link_is_not_written_through_without_overwrite(tmp_path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "link", "x", overwrite=False)
    assert names(tmp_path) == ["link"]


def test_a_path_that_can_be_written_has_no_fault_and_is_left_alone(tmp_path: Path) -> None:
    assert write_fault(tmp_path / "new" / "deep" / "run") == ""
    (tmp_path / "file").touch()
    assert write_fault(tmp_path / "file") == ""
    assert names(tmp_path) == ["file"]


def test_a_path_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert write_fault(tmp_path / "file" / "run") == f"{tmp_path / 'file'} is a file, not a folder"
    if Path("/proc").is_dir():
        assert write_fault(Path("/proc/none/run"))
