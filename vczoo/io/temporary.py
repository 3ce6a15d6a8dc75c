"""Temporary files and folders whose names say which process makes them.

So what a killed process left can be told from what a running one still needs.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

__all__ = ["sweep_partials", "temporary_folder", "temporary_name"]

STALE_SECONDS = 3600.0  # age after which a file is taken for a leftover, if its process is not known
_WRITER = r"([0-9a-f]{8})-([0-9]{1,9})-([0-9]{1,20})"
_TEMPORARY_NAME = re.compile(rf"(?:\..*|vczoo-[a-z]+)-{_WRITER}-[0-9a-f]{{8}}(?:\.partial)?", re.DOTALL)
# Names that earlier versions gave to the temporary files of a run.
_OLD_NAME = re.compile(r"\.(model|voices|metrics|vczoo|checkpoint|manifest|curves)-[a-z0-9_]{8}\.partial")


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
