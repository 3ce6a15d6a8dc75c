"""The feature cache: tensors by key and name, on disk in memory-mapped shards.

<folder>/<digest of a key>/<random>.safetensors    a shard: tensors by name, and the key itself in its metadata

Shards are written atomically and never changed, so several processes may write at the same time, and a crash leaves
only finished shards. Each tensor has a checksum, which is checked before its first use; the shard of a wrong one is
removed, and its tensors are computed again. When the folder grows beyond its limit, the least recently used shards are
removed first.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vczoo.errors import VczooError
from vczoo.io.cache_folder import FOLDER_VARIABLE, user_cache_folder
from vczoo.io.files import PRIVATE, write_bytes
from vczoo.io.temporary import sweep_partials
from vczoo.io.tensor_file import checksum

__all__ = ["Cache", "Section", "open_cache"]

SIZE_VARIABLE = "VCZOO_CACHE_GB"
LIMIT_GB = 20.0
SHARD_BYTES = 64_000_000  # new tensors are written together at this size: few files, and little is lost in a crash
ABANDONED_SECONDS = 3600.0  # an unfinished file that is older was left by a killed process of an earlier version


def open_cache(folder: Path | None = None) -> Cache:
    """Open a cache of at most `VCZOO_CACHE_GB` gigabytes (20 by default).

    Args:
        folder: The folder of the cache; None for the user's, which is `VCZOO_CACHE` or ~/.cache/vczoo.

    Raises:
        VczooError: `VCZOO_CACHE_GB` is not a valid size.
    """
    text = os.environ.get(SIZE_VARIABLE) or str(LIMIT_GB)
    try:
        limit_gb = float(text)
    except ValueError:
        limit_gb = -1.0
    if not 0 <= limit_gb < float("inf"):
        raise VczooError(f"{SIZE_VARIABLE} is the size of the cache in gigabytes, 0 or more; got {text!r}")
    return Cache(folder or user_cache_folder(), round(limit_gb * 1e9))


class Cache:
    """A folder of sections, bounded in size.

    Args:
        folder: The folder of the cache; it is created at the first write.
        limit_bytes: The most bytes that all shards together may take.
    """

    def __init__(self, folder: Path, limit_bytes: int = round(LIMIT_GB * 1e9)) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self.in_use: set[Path] = set()  # sections that this process has mapped: removing them would free nothing

    def section(self, key: Mapping[str, Any]) -> Section:
        """The section of a key, which is a mapping of plain values. Each key has its own section."""
        return Section(self, json.dumps(key, sort_keys=True))

    def make_room(self, num_bytes: int) -> bool:
        """Remove the least recently used shards until `num_bytes` more fit. Return whether they do."""
        shards = [(stat, path) for path in self.folder.glob("*/*.safetensors") if (stat := _stat(path))]
        for section in self.folder.glob("*/"):
            sweep_partials(section)
        for path in self.folder.glob("*/.*.partial"):
            stat = _stat(path)
            if stat and time.time() - stat.st_mtime > ABANDONED_SECONDS:
                _remove(path)
        total = sum(stat.st_size for stat, _ in shards)
        for stat, path in sorted(shards, key=lambda shard: shard[0].st_mtime):
            if total + num_bytes <= self.limit_bytes:
                break
            if path.parent not in self.in_use and _remove(path):
                total -= stat.st_size
        return total + num_bytes <= self.limit_bytes


class Section:
    """The tensors of one key. Read it as a mapping, `add` tensors, and `flush` them to disk.

    Args:
        cache: The cache that the section belongs to.
        key: The key as JSON.
    """

    def __init__(self, cache: Cache, key: str) -> None:
        self.cache, self.key = cache, key
        self.folder = cache.folder / hashlib.sha256(key.encode()).hexdigest()[:32]
        self.full = False  # whether some tensors did not fit into the cache
        self._shards: dict[Path, _Shard] = {}
        self._shard_of: dict[str, _Shard] = {}
        self._mapped: dict[str, Tensor] = {}
        self._new: dict[str, Tensor] = {}
        self._new_bytes = 0
        self.refresh()

    def refresh(self) -> None:
        """Open shards that other processes have written."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path not in self._shards:
                self._open(path)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __getitem__(self, name: str) -> Tensor:
        """A tensor, as `get` returns it.

        Raises:
            KeyError: The section has no tensor of this name.
        """
        if (tensor := self.get(name)) is None:
            raise KeyError(name)
        return tensor

    def add(self, tensors: Mapping[str, Tensor]) -> None:
        """Add tensors. The next `flush` writes them; it happens automatically once they reach `SHARD_BYTES`.

        If the cache is full, nothing is added, and `full` is true.
        """
        if self.full:
            return
        for name, tensor in tensors.items():
            self._new[name] = tensor.detach().to("cpu", copy=True).contiguous()  # a row of a batch shares its memory
            self._new_bytes += tensor.numel() * tensor.element_size()
        if self._new_bytes >= SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write all added tensors as one shard.

        Raises:
            VczooError: The disk cannot be written.
        """
        if not self._new:
            return
        self.cache.in_use.add(self.folder)
        checksums = {name: checksum({name: tensor}) for name, tensor in self._new.items()}
        content = save(self._new, metadata={"key": self.key, "checksums": json.dumps(checksums)})
        self._new, self._new_bytes = {}, 0
        if not self.cache.make_room(len(content)):
            self.full = True
            return
        path = self.folder / f"{uuid.uuid4().hex}.safetensors"
        try:
            write_bytes(path, content, mode=PRIVATE)
        except OSError as error:
            raise VczooError(
                f"{self.cache.folder}: the cache cannot be written ({error}); free some space, set {FOLDER_VARIABLE} "
                "to another folder, or train without it (--no-cache)"
            ) from error
        self._open(path)

    def close(self) -> None:
        """Write all added tensors. From now on, this section may be evicted like any other."""
        self.flush()
        self._shards, self._shard_of, self._mapped = {}, {}, {}
        self.cache.in_use.discard(self.folder)

    def get(self, name: str) -> Tensor | None:
        """A tensor, or None if there is none that fits its checksum.

        It is memory-mapped if it is on disk, so do not write to it.
        """
        if name in self._new:
            return self._new[name]
        if name not in self._mapped:  # takes no memory (the file is mapped), and saves a slow lookup
            shard = self._shard_of.get(name)
            if shard is None:
                return None
            tensor = shard.file.get_tensor(name)
            if name in shard.checksums and checksum({name: tensor}) != shard.checksums[name]:
                self._drop(shard)
                return None
            self._mapped[name] = tensor
        return self._mapped[name]

    def _open(self, path: Path) -> None:
        """Open a shard, unless it is damaged or has a different key."""
        try:
            file: Any = safe_open(path, framework="pt")
            metadata = file.metadata() or {}
            if metadata.get("key") != self.key:
                return
            shard = _Shard(path, file, json.loads(metadata.get("checksums", "{}")))  # earlier versions wrote none
        except (SafetensorError, ValueError):  # cut short by a full disk or a power failure, so useless
            _remove(path)
            return
        except (OSError, RuntimeError):
            # Another process has removed it to make room, perhaps while it was opened, for which torch raises a
            # RuntimeError; or it cannot be read here.
            return
        self.cache.in_use.add(self.folder)
        with suppress(OSError):  # removed in the meantime, or owned by another user; it can still be read
            os.utime(path)
        self._shards[path] = shard
        self._shard_of |= dict.fromkeys(file.keys(), shard)

    def _drop(self, damaged: _Shard) -> None:
        """Remove a shard that the disk has changed, so that its tensors are computed again."""
        warnings.warn(
            f"{damaged.path}: this file of the cache is damaged, and its contents are computed again; check the disk",
            stacklevel=4,
        )
        _remove(damaged.path)
        self._shards.pop(damaged.path, None)
        for name in [name for name, shard in self._shard_of.items() if shard is damaged]:
            del self._shard_of[name]
            self._mapped.pop(name, None)


@dataclass(frozen=True)
class _Shard:
    """An open shard.

    Attributes:
        path: Its path.
        file: The open file.
        checksums: The checksum of each tensor, by name.
    """

    path: Path
    file: Any
    checksums: Mapping[str, str]


def _remove(path: Path) -> bool:
    """Remove a file. Return whether it is gone: that of another user may stay."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # another process has removed it
        return None
