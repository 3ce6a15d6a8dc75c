"""Weights of Vocos: fetched from the Hub or read from a file, checked, and loaded into a `Vocos`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from pickle import UnpicklingError

import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from torch import Tensor

from vczoo import (
    Origin,
    Weights,
    WeightsError,
    announce_download,
    choose_weights,
    is_weights_file,
    load_strictly,
    offline,
    read_tensors,
    unavailable,
)
from vczoo_vocos.network import Vocos

__all__ = ["fetch", "load_weights"]

PICKLE = "pytorch_model.bin"
SAFE = "model.safetensors"
# Windows and filters in the published file, which the network here computes.
UNUSED = ("feature_extractor.", "head.istft.")


def load_weights(vocoder: Vocos, name: str, weights: str, registered: tuple[Weights, ...]) -> Vocos:
    """Load what the option `weights` names into a vocoder, record where it came from, and return the vocoder.

    Args:
        vocoder: The vocoder, with random weights.
        name: The name of the entry, for error messages.
        weights: `random`, a registered name, or the path of a file or folder.
        registered: The weights that the entry registers.

    Raises:
        WeightsError: The weights do not exist, are unavailable, or do not fit.
    """
    if weights == "random":
        return vocoder
    if is_weights_file(weights) or weights.endswith(".bin"):
        tensors, origin = _read(Path(weights), registered)
        where = weights
    else:
        chosen = choose_weights(name, weights, registered)
        file = fetch(name, chosen)
        tensors, origin = _read_pickle(file, chosen), Origin.registered(chosen, [file])
        where = chosen.source
    load_strictly(vocoder, tensors, where=where, unused=UNUSED)
    vocoder.origin = origin
    return vocoder


def fetch(entry_name: str, weights: Weights) -> Path:
    """The path of the file of registered weights, at its pinned revision, downloaded from the Hub if it is not cached.

    Raises:
        WeightsError: The file is not in the cache, and the download is impossible (offline) or fails.
    """
    cached = try_to_load_from_cache(weights.source, PICKLE, revision=weights.revision)
    if isinstance(cached, str):
        return Path(cached)
    if offline():
        raise unavailable(entry_name, weights, "HF_HUB_OFFLINE is set", part="vocoder")
    announce_download(entry_name, weights)
    try:
        return Path(hf_hub_download(weights.source, PICKLE, revision=weights.revision))
    except Exception as error:  # the client raises its own errors, those of its transport and those of the system
        raise unavailable(entry_name, weights, error, part="vocoder") from error


def _read(location: Path, registered: tuple[Weights, ...]) -> tuple[dict[str, Tensor], Origin]:
    """The tensors of a file, or of the file of weights in a folder, and their origin."""
    path = location
    if location.is_dir():
        files = [location / name for name in (SAFE, PICKLE) if (location / name).is_file()]
        if not files:
            raise WeightsError(f"{location}: a folder without {SAFE} and without {PICKLE}; give the path of the file")
        path = files[0]
    if path.name.endswith(".bin") and path.is_file() and registered:
        # The checksum proves that this is the published file, whose license is known.
        return _read_pickle(path, registered[0]), Origin.of_path(location, [path], registered[0].licence)
    return read_tensors(path), Origin.of_path(location, [path])


def _read_pickle(path: Path, weights: Weights) -> dict[str, Tensor]:
    """The tensors of the registered pickle. A file with another checksum is never opened, and no code in it runs.

    Raises:
        WeightsError: It is another file, or it is damaged.
    """
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != weights.sha256:
        raise WeightsError(
            f"{path} is not {weights.source}@{weights.revision[:7]}: its SHA-256 is {actual}, "
            f"expected {weights.sha256}. Download it again. Your own model is read only from .safetensors"
        )
    try:
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise WeightsError(f"{path}: cannot be read ({error})") from error
    return tensors
