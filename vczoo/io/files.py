"""Atomic file writes: write to a temporary file in the same folder, then rename it."""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX_CHARACTERS = 50  # of a temporary file's name: at most 4 bytes each, and a name has at most 255 bytes

__all__ = [
    "file_above",
    "is_folder_with",
    "is_same_file",
    "open_file",
    "write_beside",
    "write_bytes",
    "write_fault",
    "write_text",
]


def file_above(path: Path) -> Path | None:
    """The existing ancestor of `path` that is a file rather than a folder, or None."""
    nearest = next((parent for parent in path.parents if parent.exists()), path.parent)
    return nearest if nearest.is_file() else None


def write_fault(path: Path) -> str:
    """Why nothing can be written at `path`, which need not exist; "" if it can. This leaves nothing behind."""
    try:
        nearest = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
        if nearest.is_file() and nearest != path:
            return f"{nearest} is a file, not a folder"
        with tempfile.TemporaryFile(dir=nearest if nearest.is_dir() else nearest.absolute().parent):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def is_folder_with(path: Path, name: str) -> bool:
    """Whether `path` is a folder that contains a file with this name."""
    return (path / name).is_file()


def is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths lead to one existing file, perhaps by links."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def open_file(path: Path) -> io.BufferedReader:
    """Open a regular file for reading.

    Pipes and devices are rejected: a pipe could block forever, and a device may never end.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if stat.S_ISREG(path.stat().st_mode):  # checked again once it is open, since it may have been replaced by then
        file = os.fdopen(os.open(path, flags), "rb")
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    raise OSError(errno.EINVAL, "not a regular file", str(path))


@contextmanager
def write_beside(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder to write to. On success it is renamed to `path`, on failure removed.

    Args:
        path: The file to write. Missing folders are created.
        overwrite: Whether an existing file may be replaced.

    Raises:
        FileExistsError: `path` exists and `overwrite` is false. The existing file is unchanged.
        OSError: the folder cannot be created or the disk is full.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.stem[:PREFIX_CHARACTERS]}-"
    descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=".partial", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        if path.exists() and not overwrite:  # it was created in the meantime
            raise FileExistsError(path)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp creates files that only their owner can read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, atomically replacing any existing file.

    Raises:
        OSError: the folder cannot be created or the disk is full. An existing file is unchanged.
    """
    with write_beside(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, atomically replacing any existing file.

    Raises:
        OSError: the folder cannot be created or the disk is full. An existing file is unchanged.
    """
    write_bytes(path, content.encode())
