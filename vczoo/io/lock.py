"""Lock files: one process at a time works in a folder, and the others are told which one does."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vczoo.errors import RunError

__all__ = ["held"]

LONGEST_HOLDER = 300  # bytes
# What the system says where another process has the lock. Other errors mean that the disk has no locks.
_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}


@contextmanager
def held(path: Path, *, what: str) -> Iterator[int]:
    """Hold an exclusive lock on a file. The system releases it when the process ends, even after a crash.

    The file is removed at the end, and so are folders that were created for it and stayed empty. After a crash it
    stays, unlocked. On a disk without locks, such as some network disks, nothing is locked.

    Args:
        path: The lock file; it is created if it does not exist, with its folder.
        what: What another process does if it holds the lock, for the error: "another sweep runs here".

    Yields:
        The descriptor of the open file. If child processes inherit it, the lock lasts until the last of them ends.

    Raises:
        RunError: Another process holds the lock, or the file cannot be created.
    """
    new_folders = [folder for folder in path.absolute().parents if not folder.exists()]
    try:
        file = _locked(path, what)
    except OSError as error:
        _remove_empty(new_folders)
        reason = error.strerror or error
        raise RunError(f"{path.parent}: no file can be created there ({reason}); choose another --out") from error
    with file:
        try:
            yield file.fileno()
        finally:
            if _is_at(file, path):  # Windows removes no open file
                with suppress(OSError):
                    path.unlink()
                _remove_empty(new_folders)


def _locked(path: Path, what: str) -> BinaryIO:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a+b")
        except FileNotFoundError:  # another process has just removed the folder
            if path.is_symlink():
                raise
            continue
        try:
            _lock(file.fileno())
        except OSError as error:
            if error.errno in _HELD:
                with file:
                    text = f"{path.parent}: {what}{_holder(file)}; wait for it to end, or choose another --out"
                    raise RunError(text) from None
        if not _is_at(file, path):  # the process that held it has removed it: another one may lock a new file
            file.close()
            continue
        with suppress(OSError):  # a full disk; it is only for the message
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            file.flush()
        return file


def _holder(file: BinaryIO) -> str:
    try:
        file.seek(0)
        text = file.read(LONGEST_HOLDER).decode(errors="replace").strip()
    except OSError:  # Windows does not let a locked file be read
        return ""
    return f" ({text})" if text.isprintable() and text else ""


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _lock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
