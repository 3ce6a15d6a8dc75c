"""Files of a run: where each of them is, and how all of them are replaced at once.

vczoo.yaml has the SHA-256 of the other files. A file has its plain name, `voices.safetensors`; while a run is being
replaced, its new contents are beside the old ones in `voices-<16 hex digits of their SHA-256>.safetensors`. The rename
of vczoo.yaml is the only commit: before it the run is the old one, after it the new one, whenever a process is killed.
The new contents then take the plain names, which changes nothing, because they are looked for under both.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from vczoo.errors import VczooError
from vczoo.io.files import PRIVATE, open_file, sha256_of, write_bytes
from vczoo.io.temporary import sweep_partials
from vczoo.models.bundled import CONFIG
from vczoo.runs.config import File

__all__ = [
    "LARGEST_METRICS",
    "LARGEST_MODEL",
    "METRICS",
    "MODEL",
    "VOICES",
    "path_of",
    "read_again",
    "read_metrics",
    "replace_files",
]

MODEL: File = "model.safetensors"
VOICES: File = "voices.safetensors"
METRICS: File = "metrics.json"
LARGEST_METRICS = 16_000_000  # bytes
LARGEST_MODEL = 2**35  # bytes; twice the size of the largest model in the zoo
DIGITS = 16
TRIES = 50
PAUSE_SECONDS = 0.01

_BESIDE = re.compile(rf"(model|voices|metrics)-[0-9a-f]{{{DIGITS}}}\.(safetensors|json)")
_PLAIN = {CONFIG, MODEL, VOICES, METRICS}

T = TypeVar("T")


def path_of(folder: Path, name: File, checksums: Mapping[File, str]) -> Path:
    """Return the path of one of a run's files.

    Args:
        folder: The folder of the run.
        name: The plain name of the file.
        checksums: SHA-256 of each file, from the run's configuration.
    """
    beside = _beside(folder / name, checksums.get(name, ""))
    return beside if beside.is_file() else folder / name


def read_again(folder: Path, read: Callable[[], T], failed: Callable[[T], bool] = lambda result: False) -> T:
    """Read a run, and read it again if that failed while another process saved it.

    Args:
        folder: The folder of the run.
        read: Reads the run, beginning with its configuration.
        failed: Whether the result of `read` shows that it failed; an error does.

    Raises:
        VczooError, OSError, ValueError: `read` raised it, although nobody saved the run.
    """
    for _ in range(TRIES):
        before = _state(folder)
        try:
            result = read()
        except (VczooError, OSError, ValueError):
            if _state(folder) == before:
                raise
        else:
            if not failed(result) or _state(folder) == before:
                return result
        time.sleep(PAUSE_SECONDS)
    return read()


def replace_files(folder: Path, contents: Mapping[File, bytes], config: bytes) -> None:
    """Write the files of a run, in place of those of an earlier run.

    The folder then holds either run, whole, even if this process is killed. A file whose content stays the same is left
    as it is. The caller has the turn at changing the run (`vczoo.runs.turn.changing`).

    Args:
        folder: The folder of the run.
        contents: The content of every file but vczoo.yaml.
        config: The content of vczoo.yaml, with the checksums of the others.

    Raises:
        OSError: The disk cannot be written. The earlier run is unchanged.
    """
    sweep_partials(folder)
    mode = _mode(folder)
    written: list[Path] = []
    new: dict[Path, Path] = {}  # new contents that are not under their plain name yet, with that name
    try:
        for name, content in contents.items():
            path, checksum = folder / name, hashlib.sha256(content).hexdigest()
            if _holds(path, checksum):
                continue
            place = path
            if path.exists():  # the old run may need it
                place = _beside(path, checksum)
                new[place] = path
            if not _holds(place, checksum):
                write_bytes(place, content, mode=mode)
                written.append(place)
        write_bytes(folder / CONFIG, config, mode=mode)
    except BaseException:
        if not _is_committed(folder, config):  # Ctrl-C may come right after the rename
            for place in written:
                place.unlink(missing_ok=True)
        raise
    _sync(folder)
    for place, path in new.items():
        with suppress(OSError):  # Windows replaces no file that another process reads
            place.replace(path)
    for path in folder.iterdir():
        if _BESIDE.fullmatch(path.name) and path not in new:
            path.unlink(missing_ok=True)


def _beside(path: Path, checksum: str) -> Path:
    return path.with_stem(f"{path.stem}-{checksum[:DIGITS]}")


def _holds(path: Path, checksum: str) -> bool:
    return path.is_file() and sha256_of(path) == checksum


def _is_committed(folder: Path, config: bytes) -> bool:
    try:
        return (folder / CONFIG).read_bytes() == config
    except OSError:
        return False


def _mode(folder: Path) -> int:
    """Permissions of new files: those of the run that is replaced, so that it stays shared if it was; else private."""
    try:
        return stat.S_IMODE((folder / CONFIG).stat().st_mode) & 0o666 | PRIVATE
    except OSError:
        return PRIVATE


def _sync(folder: Path) -> None:
    """Make renames last beyond a power failure, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _state(folder: Path) -> frozenset[tuple[str, int, int]] | None:
    """The files of a run that differ after every save: their names, inodes and times."""
    try:
        with os.scandir(folder) as entries:
            files = [entry for entry in entries if entry.name in _PLAIN or _BESIDE.fullmatch(entry.name)]
            return frozenset((file.name, file.stat().st_ino, file.stat().st_mtime_ns) for file in files)
    except OSError:
        return None


def read_metrics(path: Path) -> dict[str, Any]:
    """Read a metrics.json, of a run or of an evaluation.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too large, too deeply nested, or not a mapping.
    """
    with open_file(path) as file:
        content = file.read(LARGEST_METRICS + 1)
    if len(content) > LARGEST_METRICS:
        raise ValueError(f"{METRICS} is larger than {LARGEST_METRICS} bytes")
    try:
        metrics = json.loads(content.decode())
    except RecursionError:
        raise ValueError(f"{METRICS} is too deeply nested") from None
    if not isinstance(metrics, dict):
        raise ValueError(f"{METRICS} contains a {type(metrics).__name__}, expected a mapping")
    return metrics
