"""Weights of Vocos, read from a file or from the Hub, checked, and loaded into a `Vocos`."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from vczoo import (
    Origin,
    Weights,
    WeightsError,
    is_weights_file,
    load_strictly,
    read_pickled_tensors,
    read_tensors,
    weights_option,
)
from vczoo_vocos.network import Vocos

__all__ = ["load_weights"]

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
    if is_weights_file(weights) or weights.endswith(".bin"):
        tensors, vocoder.origin = _read(Path(weights), registered)
        load_strictly(vocoder, tensors, where=weights, unused=UNUSED)
    elif file := weights_option(name, weights, registered, part="vocoder", file=PICKLE):
        load_strictly(vocoder, read_pickled_tensors(file.path), where=file.where, unused=UNUSED)
        vocoder.origin = file.origin
    return vocoder


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
        tensors = read_pickled_tensors(path, registered[0].sha256)
        return tensors, Origin.of_path(location, [path], registered[0].licence)
    return read_tensors(path), Origin.of_path(location, [path])
