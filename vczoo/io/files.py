"""Atomic file writes: write to a temporary file in the same folder, then rename it.

The name of a temporary file or folder says which process makes it, so that what a killed process left can be told from
what a running one still needs.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

PREFIX_CHARACTERS = 40  # of a temporary file's name: at most 4 bytes each, and a name has at most 255 bytes
PARTIAL = ".partial"
PRIVATE = 0o600  # files that only their owner can read; folders that are created for them are 0o700
STALE_SECONDS = 3600.0  # age after which a file is taken for a leftover, if its process is not known

# Errors of file systems that have no hard links.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EACCES}
_WRITER = r"([0-9a-f]{8})-([0-9]{1,9})-([0-9]{1,20})"
_TEMPORARY_NAME = re.compile(rf"(?:\..*|vczoo-[a-z]+)-{_WRITER}-[0-9a-f]{{8}}(?:\.partial)?", re.DOTALL)
# Names that earlier versions gave to the temporary files of a run.
_OLD_NAME = re.compile(r"\.(model|voices|metrics|vczoo|checkpoint|manifest|curves)-[a-z0-9_]{8}\.partial")

__all__ = [
    "PARTIAL",
    "PRIVATE",
    "file_above",
    "is_folder_with",
    "is_same_file",
    "open_file",
    "sweep_partials",
    "temporary_folder",
    "temporary_name",
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


def temporary_name(prefix: str) -> str:
    """Return a new name for a temporary file or folder of this process: `prefix`, the process, and a random number."""
    return f"{prefix}-{_machine()}-{os.getpid()}-{_start_of(os.getpid())}-{secrets.token_hex(4)}"


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """Yield a new private folder among the system's temporary files, and remove it at the end.

    Folders that killed processes left there are removed, too.

    Args:
        purpose: A word of lowercase letters for its name: vczoo-<purpose>-….

    Raises:
        OSError: the folder cannot be created.
    """
    parent = Path(tempfile.gettempdir())
    sweep_partials(parent)
    folder = parent / temporary_name(f"vczoo-{purpose}")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep_partials(folder: Path) -> None:
    """Remove the temporary files and folders in a folder whose processes ended without removing them.

    Whether a process of this machine has ended is known. A file of another machine, or of a version that did not name
    its process, is taken for a leftover if nobody has changed it for an hour. What cannot be removed is left.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                is_folder = entry.is_dir(follow_symlinks=False)
                if not _is_leftover(entry, is_folder):
                    continue
                if is_folder:
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


def _is_leftover(entry: os.DirEntry[str], is_folder: bool) -> bool:
    match = _TEMPORARY_NAME.fullmatch(entry.name)
    if not match and not _OLD_NAME.fullmatch(entry.name):
        return False
    if match and match[1] == _machine() and os.name == "posix":
        return _has_ended(int(match[2]), int(match[3]))
    return not is_folder and time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_SECONDS


@cache
def _machine() -> str:
    """Eight hex digits that differ between machines, and on Linux between their boots and the containers on them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
        name = boot + b"%d" % Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        name = socket.gethostname().encode()
    return hashlib.sha256(name).hexdigest()[:8]


def _has_ended(process: int, start: int) -> bool:
    """Whether the process of this machine that began at `start` (see `_start_of`) has ended."""
    if now := _start_of(process):
        return now != start
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return True
    except OSError:  # a process of another user
        return False
    return False


def _start_of(process: int) -> int:
    """When a process started, in ticks since the boot; -1 if it is a zombie, 0 if it is not known, as outside Linux."""
    try:
        fields = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
        return -1 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, IndexError, ValueError):
        return 0


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
