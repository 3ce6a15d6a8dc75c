"""Files that appear whole or not at all: write beside, then rename."""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX_CHARACTERS = 50  # of a temporary file's name, each of 4 bytes at most: a name has no more than 255

__all__ = ["file_above", "is_folder_with", "open_file", "write_beside", "write_bytes", "write_text"]


def file_above(path: Path) -> Path | None:
    """The file that a path would have to lie in, where there is one."""
    nearest = next((parent for parent in path.parents if parent.exists()), path.parent)
    return nearest if nearest.is_file() else None


def is_folder_with(path: Path, name: str) -> bool:
    """Whether a path is a folder that holds a file of this name."""
    return (path / name).is_file()


def open_file(path: Path) -> io.BufferedReader:
    """Open a file to be read. A pipe would be waited for, a device may never end, and neither is opened.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if stat.S_ISREG(path.stat().st_mode):  # and below again, since it may be another by then
        file = os.fdopen(os.open(path, flags), "rb")
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    raise OSError(errno.EINVAL, "no regular file", str(path))


@contextmanager
def write_beside(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Give a path in the same folder to write to; on success it is renamed to `path`, on failure removed.

    Raises:
        FileExistsError: `path` exists and `overwrite` is false. Nothing was written then.
        OSError: the folder cannot be made or the disk is full.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.stem[:PREFIX_CHARACTERS]}-"
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=".partial", dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        if path.exists() and not overwrite:  # it came into being meanwhile
            raise FileExistsError(path)
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner can read
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, replacing what was there in one step.

    Raises:
        OSError: the folder cannot be made or the disk is full; what was there stays.
    """
    with write_beside(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, replacing what was there in one step.

    Raises:
        OSError: the folder cannot be made or the disk is full; what was there stays.
    """
    write_bytes(path, content.encode())
