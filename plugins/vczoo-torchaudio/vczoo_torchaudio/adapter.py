"""A model's name and a recipe's options in, a `SpeechBackbone` with random or pretrained weights out."""

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
from torchaudio import pipelines
from torchaudio.models import wav2vec2_model, wavlm_model

from vczoo import (
    ContractError,
    Origin,
    Weights,
    announce_download,
    choose_weights,
    is_weights_file,
    load_strictly,
    offline,
    read_tensors,
    unavailable,
)
from vczoo_torchaudio import BUNDLES, layers_of, weights_of
from vczoo_torchaudio.network import SpeechBackbone

__all__ = ["assemble", "build"]

LAYERS = "encoder.transformer.layers."
CLASSIFIER = "aux."
# Weight normalisation as torch named it before and since 2.1; torchaudio's files are of both kinds.
RENAMED = {".weight_g": ".parametrizations.weight.original0", ".weight_v": ".parametrizations.weight.original1"}


def build(model: str, *, weights: str = "pretrained", layer: int = 6, stage_layers: int = 4) -> SpeechBackbone:
    """Build the first layers of a WavLM, HuBERT or wav2vec 2.0 model as a backbone.

    Args:
        model: a name of `vczoo_torchaudio.BUNDLES`.
        weights: pretrained, the name of one of torchaudio's bundles, random, or a path to a .safetensors file in
            torchaudio's naming, with or without the layers after `layer` and its classifier.
        layer: the transformer layer that is read, from 1; 0 reads what goes into the first. Layers after it are
            not built. 6 is what kNN-VC (arXiv:2305.18975) reads of WavLM Large.
        stage_layers: transformer layers to a stage.

    Raises:
        ContractError: an option is out of range.
        WeightsError: no such weights, or they cannot be had, or they do not fit.
    """
    name, most = f"torchaudio/{model}", layers_of(model)
    if not 0 <= layer <= most:
        raise ContractError(
            f"{name} has {most} transformer layers: layer is 0 (what goes into the first) to {most}, got {layer}"
        )
    if stage_layers < 1:
        raise ContractError(f"stage_layers, the transformer layers to a stage, is 1 or more, got {stage_layers}")
    bundle = getattr(pipelines, BUNDLES[model])
    origin = None
    if is_weights_file(weights):
        tensors, origin = read_tensors(weights), Origin.of_path(weights)
    elif weights != "random":
        chosen = choose_weights(name, weights, weights_of(model))
        bundle = getattr(pipelines, chosen.name)  # bundles of one architecture differ in their dropout
        tensors, weights = fetch(name, chosen), chosen.source
        origin = Origin.registered(chosen, [cached(chosen)])
    # torchaudio has no public way to build a bundle's model without its weights, nor to ask for its normalisation.
    params = bundle._params | {"encoder_num_layers": layer, "aux_num_out": None}
    network = (wavlm_model if bundle._model_type == "WavLM" else wav2vec2_model)(**params)
    if weights != "random":
        load(network, tensors, where=weights, most=most)
    backbone = assemble(network, stage_layers=stage_layers, normalise=bundle._normalize_waveform)
    backbone.origin = origin
    return backbone


def assemble(network: Any, *, stage_layers: int = 4, normalise: bool = False) -> SpeechBackbone:
    """A backbone of torchaudio's `Wav2Vec2Model` of any size, read after its last layer."""
    return SpeechBackbone(network, stage_layers=stage_layers, normalise=normalise)


def load(network: Any, tensors: dict[str, Tensor], *, where: str, most: int) -> None:
    """Load tensors in torchaudio's naming into a network that has fewer layers than the `most` they are for.

    Raises:
        WeightsError: they do not fit.
    """
    named = {}
    for name, tensor in tensors.items():
        old = next((suffix for suffix in RENAMED if name.endswith(suffix)), None)
        named[name.removesuffix(old) + RENAMED[old] if old else name] = tensor
    cut = tuple(f"{LAYERS}{index}." for index in range(len(network.encoder.transformer.layers), most))
    load_strictly(network, named, where=where, unused=(CLASSIFIER, *cut))


def cached(weights: Weights) -> Path:
    """Where torch keeps the file of an address."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(weights.source).path).name)


def fetch(entry_name: str, weights: Weights) -> dict[str, Tensor]:
    """The tensors of registered weights, from torch's cache or torchaudio's server.

    torchaudio publishes pickles alone, mostly without a checksum; they are read with `weights_only`, which runs no
    code of theirs.

    Raises:
        WeightsError: they are not in the cache, and offline or the server does not give them; or they are not those
            that are registered.
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
                found = hashlib.file_digest(content, "sha256").hexdigest()
            if not found.startswith(weights.sha256):
                raise unavailable(
                    entry_name, weights, f"{file} has SHA-256 {found}, expected {weights.sha256}; remove it"
                )
        # Files of before torch 1.6 are no archives, and cannot be mapped.
        tensors: dict[str, Tensor] = torch.load(
            file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file)
        )
    except (OSError, HTTPException, RuntimeError, EOFError, UnpicklingError) as error:
        raise unavailable(entry_name, weights, error) from error
    return tensors
