"""Files: opening and checksums, and atomic writes, to a temporary file in the same folder that is then renamed."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vczoo.io.temporary import temporary_name

PREFIX_CHARACTERS = 40  # of a temporary file's name: at most 4 bytes each, and a name has at most 255 bytes
PARTIAL = ".partial"
PRIVATE = 0o600  # files that only their owner can read; folders that are created for them are 0o700

# Errors of file systems that have no hard links.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EACCES}

__all__ = [
    "PARTIAL",
    "PRIVATE",
    "file_above",
    "is_folder_with",
    "is_same_file",
    "open_file",
    "sha256_of",
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


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, which is read in chunks.

    Raises:
        OSError: the file cannot be read.
    """
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def write_beside(path: Path, *, overwrite: bool = True, mode: int = 0o666) -> Iterator[Path]:
    """Yield a temporary path in the same folder to write to. On success it is renamed to `path`, on failure removed.

    Args:
        path: The file to write. Missing folders are created.
        overwrite: Whether an existing file may be replaced. If it may not, checking for one and creating the file are
            one step, so that of two processes that create one file only one succeeds.
        mode: Permissions of the file, less those that the umask takes away. If they are `PRIVATE`, its folder is
            private too, if it is created here.

    Raises:
        FileExistsError: `path` exists and `overwrite` is false. The existing file is unchanged.
        OSError: the folder cannot be created or the disk is full.
    """
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o777 if mode & 0o077 else 0o700)
    temporary = path.parent / (temporary_name(f".{path.stem[:PREFIX_CHARACTERS]}") + PARTIAL)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))  # the kernel applies the umask
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if overwrite:
            temporary.replace(path)
        else:
            _rename_to_new(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes, *, overwrite: bool = True, mode: int = 0o666) -> None:
    """Write `content` to `path`, atomically replacing any existing file.

    Args:
        path: The file to write. Missing folders are created.
        content: Its content.
        overwrite: As for `write_beside`.
        mode: As for `write_beside`.

    Raises:
        FileExistsError: `path` exists and `overwrite` is false.
        OSError: the folder cannot be created or the disk is full. An existing file is unchanged.
    """
    with write_beside(path, overwrite=overwrite, mode=mode) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str, *, overwrite: bool = True, mode: int = 0o666) -> None:
    """Write `content` to `path` as UTF-8, as `write_bytes` does.

    Raises:
        FileExistsError: `path` exists and `overwrite` is false.
        OSError: the folder cannot be created or the disk is full. An existing file is unchanged.
    """
    write_bytes(path, content.encode(), overwrite=overwrite, mode=mode)


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename a file, unless `path` exists, in one step.

    Raises:
        FileExistsError: `path` exists.
        OSError: the file cannot be renamed.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # An empty file takes the place first, which only one process can create.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            temporary.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    else:
        temporary.unlink()
