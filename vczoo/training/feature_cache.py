"""Tensors by key and name in; on disk in memory-mapped shards; the same tensors out, in this process or a later one.

<folder>/<digest of a key>/<random>.safetensors    a shard: tensors by name, and the key itself in its metadata

A shard appears whole or not at all, and is never changed: two processes may write at once, and a crash leaves nothing
but shards that were finished. What was not used for longest goes first when the folder grows beyond its bound.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vczoo.errors import VczooError
from vczoo.io.files import write_bytes

__all__ = ["Cache", "Section", "open_cache"]

FOLDER_VARIABLE, SIZE_VARIABLE = "VCZOO_CACHE", "VCZOO_CACHE_GB"
LIMIT_GB = 20.0
SHARD_BYTES = 64_000_000  # tensors are written together up to this size: few files, and little is lost in a crash
ABANDONED_SECONDS = 3600.0  # a file that is still being written is younger


def open_cache(folder: Path | None = None) -> Cache:
    """A cache of at most `VCZOO_CACHE_GB` (20) gigabytes.

    Args:
        folder: where; None for the user's, `VCZOO_CACHE` or ~/.cache/vczoo.

    Raises:
        VczooError: `VCZOO_CACHE_GB` is no size.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    text = os.environ.get(SIZE_VARIABLE) or str(LIMIT_GB)
    try:
        limit_gb = float(text)
    except ValueError:
        limit_gb = -1.0
    if not 0 <= limit_gb < float("inf"):
        raise VczooError(f"{SIZE_VARIABLE} is the size of the cache in gigabytes, 0 or more; got {text!r}")
    users = Path(os.environ.get(FOLDER_VARIABLE) or Path(base) / "vczoo")
    return Cache(folder or users, round(limit_gb * 1e9))


class Cache:
    """A folder of sections, bounded in size.

    Args:
        folder: made when something is written.
        limit_bytes: of all shards together.
    """

    def __init__(self, folder: Path, limit_bytes: int = round(LIMIT_GB * 1e9)) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self.in_use: set[Path] = set()  # sections that this process reads: evicting them would free nothing

    def section(self, key: Mapping[str, Any]) -> Section:
        """What is kept under a key, a mapping of plain values; another key is another section."""
        return Section(self, json.dumps(key, sort_keys=True))

    def make_room(self, num_bytes: int) -> bool:
        """Remove the least recently used shards until `num_bytes` more fit; whether they do."""
        shards = [(found, path) for path in self.folder.glob("*/*.safetensors") if (found := _stat(path))]
        for path in self.folder.glob("*/.*.partial"):  # of a process that was killed while it wrote
            found = _stat(path)
            if found and time.time() - found.st_mtime > ABANDONED_SECONDS:
                path.unlink(missing_ok=True)
        total = sum(found.st_size for found, _ in shards)
        for found, path in sorted(shards, key=lambda shard: shard[0].st_mtime):
            if total + num_bytes <= self.limit_bytes:
                break
            if path.parent not in self.in_use:
                path.unlink(missing_ok=True)
                total -= found.st_size
        return total + num_bytes <= self.limit_bytes


class Section:
    """The tensors of one key; use it as a mapping, and `flush` what was added.

    Args:
        cache: that it is part of.
        key: the key as JSON.
    """

    def __init__(self, cache: Cache, key: str) -> None:
        self.cache, self.key = cache, key
        self.folder = cache.folder / hashlib.sha256(key.encode()).hexdigest()[:32]
        self.full = False  # whether the bound has kept something out
        self._shards: dict[Path, Any] = {}
        self._shard_of: dict[str, Any] = {}
        self._mapped: dict[str, Tensor] = {}
        self._new: dict[str, Tensor] = {}
        self._new_bytes = 0
        self.refresh()

    def refresh(self) -> None:
        """Look for what other processes have written."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path not in self._shards:
                self._open(path)

    def __contains__(self, name: str) -> bool:
        return name in self._new or name in self._shard_of

    def __getitem__(self, name: str) -> Tensor:
        """A tensor, memory-mapped where it lies on disk; do not write to it.

        Raises:
            KeyError: it is not here.
        """
        if name in self._new:
            return self._new[name]
        if name not in self._mapped:  # which takes no memory: the file is mapped, and looking a name up in it is slow
            self._mapped[name] = self._shard_of[name].get_tensor(name)
        return self._mapped[name]

    def add(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors. They are on disk after the next `flush`, which comes by itself once there is much of them.

        Where the cache is full they are not kept, and `full` says so.
        """
        if self.full:
            return
        for name, tensor in tensors.items():
            self._new[name] = tensor.detach().to("cpu", copy=True).contiguous()  # a row of a batch shares its memory
            self._new_bytes += tensor.numel() * tensor.element_size()
        if self._new_bytes >= SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was added as one shard.

        Raises:
            VczooError: the disk refuses.
        """
        if not self._new:
            return
        self.cache.in_use.add(self.folder)
        content = save(self._new, metadata={"key": self.key})
        self._new, self._new_bytes = {}, 0
        if not self.cache.make_room(len(content)):
            self.full = True
            return
        path = self.folder / f"{uuid.uuid4().hex}.safetensors"
        try:
            write_bytes(path, content)
        except OSError as error:
            raise VczooError(
                f"{self.cache.folder}: the cache cannot be written ({error}); free some space, set {FOLDER_VARIABLE} "
                "to another folder, or train without it (--no-cache)"
            ) from error
        self._open(path)

    def close(self) -> None:
        """Write what was added; from now on this section may be evicted like any other."""
        self.flush()
        self._shards, self._shard_of, self._mapped = {}, {}, {}
        self.cache.in_use.discard(self.folder)

    def _open(self, path: Path) -> None:
        """Take a shard in, if it is whole and of this very key."""
        try:
            shard: Any = safe_open(path, framework="pt")
            names: Iterable[str] = shard.keys()
            if (shard.metadata() or {}).get("key") != self.key:
                return
        except FileNotFoundError:  # another process has made room
            return
        except (SafetensorError, OSError):  # cut short by a full disk or a power failure: it serves nobody
            path.unlink(missing_ok=True)
            return
        self.cache.in_use.add(self.folder)
        with suppress(OSError):  # gone meanwhile, or another user's: it can still be read
            os.utime(path)
        self._shards[path] = shard
        self._shard_of |= dict.fromkeys(names, shard)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # another process has removed it
        return None
