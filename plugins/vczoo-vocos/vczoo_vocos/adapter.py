"""A recipe's options in, a `Vocos` with random or pretrained weights out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from pickle import UnpicklingError

import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from torch import Tensor

from vczoo import (
    MelSpec,
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
from vczoo_vocos import MEL_24KHZ
from vczoo_vocos.network import Vocos

__all__ = ["build_published", "build_small"]

PICKLE = "pytorch_model.bin"
SAFE = "model.safetensors"
# Windows and filters of the published model, which are computed here.
UNUSED = ("feature_extractor.", "head.istft.")
HIDDEN_PER_WIDTH = 3


def build_published(*, weights: str = "pretrained") -> Vocos:
    """Build charactr/vocos-mel-24khz.

    Args:
        weights: pretrained, or pretrained@COMMIT of the repository where that commit holds the same file; random; a
            path to a .safetensors file in its naming, to a copy of its pytorch_model.bin, or to a folder that holds
            either.

    Raises:
        WeightsError: no such weights, or they cannot be had, or they do not fit.
    """
    mel = MelSpec(
        sample_rate_hz=24000,
        num_mels=100,
        fft_length=1024,
        hop_length=256,
        max_hz=12000.0,
        floor=1e-7,
        filter_scale="htk",
        filter_norm="none",
        padding="reflect",
    )
    vocoder = Vocos(mel, width=512, hidden=512 * HIDDEN_PER_WIDTH, blocks=8)
    return _loaded(vocoder, "vocos/mel-24khz", weights, (MEL_24KHZ,))


def build_small(
    *,
    weights: str = "random",
    width: int = 256,
    blocks: int = 8,
    num_mels: int = 80,
    fft_length: int = 1024,
    hop_length: int = 160,
    sample_rate_hz: int = 16000,
) -> Vocos:
    """Build a Vocos to be trained, on the zoo's own mels.

    Args:
        weights: random, or a path to a .safetensors file of a Vocos of these sizes.
        width: channels between the blocks; there are three times as many inside them.
        blocks: how many.
        num_mels, fft_length, hop_length, sample_rate_hz: of the mel that it reads.

    Raises:
        ContractError: a size is out of range, or no such mel.
        WeightsError: no such weights, or they do not fit.
    """
    mel = MelSpec(
        sample_rate_hz=sample_rate_hz,
        num_mels=num_mels,
        fft_length=fft_length,
        hop_length=hop_length,
        max_hz=sample_rate_hz / 2,
    )
    vocoder = Vocos(mel, width=width, hidden=width * HIDDEN_PER_WIDTH, blocks=blocks)
    return _loaded(vocoder, "vocos/small-16khz", weights, ())


def _loaded(vocoder: Vocos, name: str, weights: str, known: tuple[Weights, ...]) -> Vocos:
    if weights == "random":
        return vocoder
    if is_weights_file(weights) or weights.endswith(".bin"):
        tensors, origin = _read(Path(weights), known)
        where = weights
    else:
        chosen = choose_weights(name, weights, known)
        file = fetch(name, chosen)
        tensors, origin = _read_pickle(file, chosen), Origin.registered(chosen, [file])
        where = chosen.source
    load_strictly(vocoder, tensors, where=where, unused=UNUSED)
    vocoder.origin = origin
    return vocoder


def _read(path: Path, known: tuple[Weights, ...]) -> tuple[dict[str, Tensor], Origin]:
    """The tensors of a file or of a folder that holds one, and that they are from there."""
    given = path
    if path.is_dir():
        found = next((path / name for name in (SAFE, PICKLE) if (path / name).is_file()), None)
        if found is None:
            raise WeightsError(f"{path}: a folder without {SAFE} and without {PICKLE}; give the path of the file")
        path = found
    if path.name.endswith(".bin") and path.is_file() and known:
        # By its checksum it is the published file, whose licence is known.
        return _read_pickle(path, known[0]), Origin.of_path(given, [path], known[0].licence)
    return read_tensors(path), Origin.of_path(given, [path])


def _read_pickle(path: Path, weights: Weights) -> dict[str, Tensor]:
    """The tensors of a pickle, which is opened if it is the registered one, bit by bit, and runs no code of its own.

    Raises:
        WeightsError: it is another file, or it is damaged.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != weights.sha256:
        raise WeightsError(
            f"{path} is not {weights.source}@{weights.revision[:7]}: its SHA-256 is {found}, "
            f"expected {weights.sha256}. Download it again; a model of your own is read from .safetensors alone"
        )
    try:
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise WeightsError(f"{path}: cannot be read ({error})") from error
    return tensors


def fetch(entry_name: str, weights: Weights) -> Path:
    """The file of registered weights, from the Hub's cache or the Hub, at its pinned revision.

    Raises:
        WeightsError: it is not in the cache, and offline or the Hub does not give it.
    """
    cached = try_to_load_from_cache(weights.source, PICKLE, revision=weights.revision)
    if isinstance(cached, str):
        return Path(cached)
    if offline():
        raise unavailable(entry_name, weights, "HF_HUB_OFFLINE is set", part="vocoder")
    announce_download(entry_name, weights)
    try:
        return Path(hf_hub_download(weights.source, PICKLE, revision=weights.revision))
    except Exception as error:  # the Hub's client raises its own, its transport's and the system's errors
        raise unavailable(entry_name, weights, error, part="vocoder") from error
