"""`Origin`: where the weights of a part came from, so that somebody else can get exactly these. No torch here.

Registered weights and their files on this machine, or a path that a user gave, in; source, licence, full revision,
SHA-256 of each file, and the recipe options that name exactly these weights out.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

from vczoo.errors import WeightsError
from vczoo.registry.entry import Weights

__all__ = ["REVISION", "Origin"]

REVISION = re.compile(r"[0-9a-f]{40}")  # a commit of a Hub repository


@dataclass(frozen=True)
class Origin:
    """Where the weights of a part came from.

    Attributes:
        source: a Hub repository or an address; of a file or folder of this machine its name alone, never its path.
        licence: SPDX identifier of the weights, or "unknown".
        files: that were read, on this machine.
        revision: the full commit of a Hub repository; empty elsewhere.
        local: whether it is a file or folder that the user gave by its path.
        pins: recipe options of the part that name exactly these weights: `{"weights": "NAME@COMMIT"}`. Empty where
            nothing names them better than what the recipe says.
    """

    source: str
    licence: str
    files: tuple[Path, ...]
    revision: str = ""
    local: bool = False
    pins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def registered(cls, weights: Weights, files: Iterable[Path]) -> Self:
        """Of registered weights, fetched or from a cache.

        Args:
            weights: as `choose_weights` gave them.
            files: of one Hub snapshot, whose folder the Hub's cache names by its commit; or of an address.
        """
        files = tuple(files)
        if "://" in weights.source:
            return cls(weights.source, weights.licence, files, pins={"weights": weights.name})
        # The cache: models--OWNER--NAME/snapshots/COMMIT/FILE, whatever branch or tag was asked for.
        names = [*(path.parent.name for path in files), weights.revision]
        revision = next((name for name in names if REVISION.fullmatch(name)), "")
        pins = {"weights": f"{weights.name}@{revision}"} if revision else {}
        return cls(weights.source, weights.licence, files, revision, pins=pins)

    @classmethod
    def of_path(cls, path: str | Path, files: Iterable[Path] = (), licence: str = "unknown") -> Self:
        """Of a file or folder that the user gave.

        Args:
            files: of the folder that were read; the path itself when empty.
            licence: where it is known, by a checksum say.
        """
        # Not `resolve`: a link of the Hub's cache would be called by the checksum that it leads to.
        return cls(Path(os.path.abspath(path)).name, licence, tuple(files) or (Path(path),), local=True)

    @cached_property
    def sha256(self) -> Mapping[str, str]:
        """The SHA-256 of each file by its name, computed on first use, about a second a gigabyte.

        Of the bytes that are on the disk: the name that the Hub's cache gives a file is only what the Hub said.

        Raises:
            WeightsError: a file cannot be read any more.
        """
        found = {}
        for path in self.files:
            try:
                with path.open("rb") as file:
                    found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise WeightsError(
                    f"{path}: these weights cannot be read any more ({error}), so that their checksum is not known; "
                    "put the file back, or fetch it again"
                ) from error
        return found
