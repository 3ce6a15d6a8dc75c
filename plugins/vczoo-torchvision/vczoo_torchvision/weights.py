"""torchvision's published weights: found in torch's cache or downloaded, and read without their classifier."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from tempfile import TemporaryDirectory
from urllib.parse import urlparse

import torch
from torch import Tensor

from vczoo import Weights, announce_download, offline, unavailable

__all__ = ["HEADS", "cached", "fetch", "read_trunk"]

HEADS = ("classifier.", "fc.")


def cached(weights: Weights) -> Path:
    """The path where torch.hub caches the file of these weights."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(weights.source).path).name)


def fetch(entry_name: str, weights: Weights) -> dict[str, Tensor]:
    """Read registered weights from torch's cache or torchvision's server, without the classifier.

    torchvision publishes only .pth files. They are read with `weights_only`, which runs no code from the file.

    Raises:
        WeightsError: The weights are not in the cache, and the download is impossible (offline) or fails.
    """
    file = cached(weights)
    try:
        if not file.is_file():
            if offline():
                raise unavailable(entry_name, weights, "HF_HUB_OFFLINE is set")
            announce_download(entry_name, weights)
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(weights.source, str(file), hash_prefix=weights.sha256)
        tensors = read_trunk(file)
    except (OSError, HTTPException, RuntimeError, EOFError, UnpicklingError) as error:  # no server, wrong checksum …
        raise unavailable(entry_name, weights, error) from error
    return tensors


def read_trunk(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a .pth file without the classifier, which is nine tenths of a VGG.

    A zip archive is memory-mapped, so only the tensors that are used are read. VGG16 and VGG19 are published in the
    format that torch wrote before 1.6, which can only be read whole. For these, a smaller archive without the
    classifier is cached next to the file.

    Raises:
        OSError, RuntimeError, EOFError, UnpicklingError: The file is damaged or is not a torch file.
    """
    copy = file.with_name(f"{file.stem}-trunk{file.suffix}")
    if zipfile.is_zipfile(file):
        copy = file
    elif not copy.is_file() or copy.stat().st_mtime_ns < file.stat().st_mtime_ns:
        whole: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        trunk = {name: tensor for name, tensor in whole.items() if not name.startswith(HEADS)}
        with suppress(OSError, RuntimeError), TemporaryDirectory(dir=file.parent) as folder:  # a full disk, for example
            torch.save(trunk, Path(folder, copy.name))
            Path(folder, copy.name).replace(copy)
        return trunk
    tensors: dict[str, Tensor] = torch.load(copy, map_location="cpu", weights_only=True, mmap=True)
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(HEADS)}
