"""Origin of a part's weights: source, license, full revision and checksums. Imports no torch.

It is recorded so that others can get exactly the same weights.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

from vczoo.errors import WeightsError
from vczoo.io.files import sha256_of
from vczoo.registry.entry import Weights

__all__ = ["REVISION", "Origin"]

REVISION = re.compile(r"[0-9a-f]{40}")  # a commit of a Hub repository


@dataclass(frozen=True)
class Origin:
    """Where the weights of a part came from.

    Attributes:
        source: A Hub repository or a URL. For a local file or folder, only its name and never its path.
        licence: SPDX identifier of the weights' license, or "unknown".
        files: The local files that were read.
        revision: Full commit of a Hub repository; empty for other sources.
        local: Whether the user named a local file or folder by its path.
        pins: Recipe options of the part that name exactly these weights, such as `{"weights": "NAME@COMMIT"}`. Empty if
            nothing is more exact than the recipe's own option.
    """

    source: str
    licence: str
    files: tuple[Path, ...]
    revision: str = ""
    local: bool = False
    pins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def registered(cls, weights: Weights, files: Iterable[Path]) -> Self:
        """The origin of registered weights, downloaded or cached.

        Args:
            weights: The weights, as returned by `choose_weights`.
            files: The files of one Hub snapshot, whose folder in the cache is named after its commit; or the files
                downloaded from a URL.
        """
        files = tuple(files)
        if "://" in weights.source:
            return cls(weights.source, weights.licence, files, pins={"weights": weights.name})
        # Path in the cache: models--OWNER--NAME/snapshots/COMMIT/FILE, even if a branch or tag was requested.
        revisions = [*(path.parent.name for path in files), weights.revision]
        revision = next((name for name in revisions if REVISION.fullmatch(name)), "")
        pins = {"weights": f"{weights.name}@{revision}"} if revision else {}
        return cls(weights.source, weights.licence, files, revision, pins=pins)

    @classmethod
    def of_path(cls, path: str | Path, files: Iterable[Path] = (), licence: str = "unknown") -> Self:
        """The origin of a local file or folder.

        Args:
            path: The file or folder.
            files: The files of the folder that were read; if empty, `path` itself.
            licence: SPDX identifier of the license if it is known, for example from a checksum.
        """
        # Not `resolve`: a link in the Hub's cache would get the checksum of its target as its name.
        return cls(Path(os.path.abspath(path)).name, licence, tuple(files) or (Path(path),), local=True)

    @cached_property
    def sha256(self) -> Mapping[str, str]:
        """SHA-256 of each file, by file name. Computed on first use, in about one second per gigabyte.

        The bytes on the disk are hashed, since the name of a file in the Hub's cache is only what the Hub claimed.

        Raises:
            WeightsError: a file can no longer be read.
        """
        digests = {}
        for path in self.files:
            try:
                digests[path.name] = sha256_of(path)
            except OSError as error:
                raise WeightsError(
                    f"{path}: these weights can no longer be read ({error}), so their checksum is unknown; "
                    "restore the file, or download it again"
                ) from error
        return digests
