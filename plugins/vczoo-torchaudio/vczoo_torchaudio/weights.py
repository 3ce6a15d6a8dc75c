"""torchaudio's published weights: found in torch's cache or downloaded, checked, and loaded into a network."""

from __future__ import annotations

import hashlib
import zipfile
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor

from vczoo import Weights, announce_download, load_strictly, offline, unavailable

__all__ = ["cached", "fetch", "load_weights"]

LAYERS = "encoder.transformer.layers."
CLASSIFIER = "aux."
# torch renamed the tensors of weight normalization in 2.1; torchaudio publishes files of both kinds.
RENAMED = {".weight_g": ".parametrizations.weight.original0", ".weight_v": ".parametrizations.weight.original1"}


def cached(weights: Weights) -> Path:
    """The path where torch.hub caches the file of these weights."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(weights.source).path).name)


def fetch(entry_name: str, weights: Weights) -> dict[str, Tensor]:
    """Read registered weights from torch's cache or torchaudio's server.

    torchaudio publishes only pickles, mostly without a checksum. They are read with `weights_only`, which runs no code
    from the file.

    Raises:
        WeightsError: The weights are not in the cache, and the download is impossible (offline) or fails; or the
            file has another checksum than the registered one.
    """
    file = cached(weights)
    try:
        if not file.is_file():
            if offline():
                raise unavailable(entry_name, weights, "HF_HUB_OFFLINE is set")
            announce_download(entry_name, weights)
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(weights.source, str(file), hash_prefix=weights.sha256 or None)
        elif weights.sha256:
            with file.open("rb") as content:
                actual = hashlib.file_digest(content, "sha256").hexdigest()
            if not actual.startswith(weights.sha256):
                raise unavailable(
                    entry_name, weights, f"{file} has SHA-256 {actual}, expected {weights.sha256}; remove it"
                )
        # Files that torch wrote before 1.6 are not archives and cannot be memory-mapped.
        tensors: dict[str, Tensor] = torch.load(
            file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file)
        )
    except (OSError, HTTPException, RuntimeError, EOFError, UnpicklingError) as error:
        raise unavailable(entry_name, weights, error) from error
    return tensors


def load_weights(network: Any, tensors: dict[str, Tensor], *, where: str, most: int) -> None:
    """Load tensors of a model with `most` layers into a network that may have fewer.

    Args:
        network: A torchaudio `Wav2Vec2Model`.
        tensors: Tensors by torchaudio's names.
        where: The name of the source, for error messages.
        most: The number of transformer layers of the model that the tensors come from.

    Raises:
        WeightsError: The tensors do not fit.
    """
    named = {}
    for name, tensor in tensors.items():
        old = next((suffix for suffix in RENAMED if name.endswith(suffix)), None)
        named[name.removesuffix(old) + RENAMED[old] if old else name] = tensor
    cut = tuple(f"{LAYERS}{index}." for index in range(len(network.encoder.transformer.layers), most))
    load_strictly(network, named, where=where, unused=(CLASSIFIER, *cut))
