"""Builds a `SpeechBackbone` from a torchaudio model's name and a recipe's options."""

from __future__ import annotations

from typing import Any

from torchaudio import pipelines
from torchaudio.models import wav2vec2_model, wavlm_model

from vczoo import ContractError, read_pickled_tensors, read_tensors, weights_option
from vczoo_torchaudio import BUNDLES, layers_of, weights_of
from vczoo_torchaudio.network import SpeechBackbone
from vczoo_torchaudio.weights import load_weights

__all__ = ["assemble", "build"]


def build(model: str, *, weights: str = "pretrained", layer: int = 6, stage_layers: int = 4) -> SpeechBackbone:
    """Build the first layers of a WavLM, HuBERT or wav2vec 2.0 model as a backbone.

    Args:
        model: A name in `vczoo_torchaudio.BUNDLES`.
        weights: `pretrained`, the name of a torchaudio bundle, `random`, or the path of a .safetensors file with
            torchaudio's tensor names, with or without the layers after `layer` and the classifier.
        layer: The transformer layer whose output is returned, from 1; 0 is the input of the first layer. Later
            layers are not built. kNN-VC (arXiv:2305.18975) uses layer 6 of WavLM Large.
        stage_layers: The number of transformer layers per stage.

    Raises:
        ContractError: An option is out of range.
        WeightsError: The weights do not exist, are unavailable, or do not fit the network.
    """
    name, most = f"torchaudio/{model}", layers_of(model)
    if not 0 <= layer <= most:
        raise ContractError(
            f"{name} has {most} transformer layers: layer is 0 (the input of the first) to {most}, got {layer}"
        )
    if stage_layers < 1:
        raise ContractError(f"stage_layers (transformer layers per stage) is 1 or more, got {stage_layers}")
    file = weights_option(name, weights, weights_of(model))
    # Bundles of one architecture differ in dropout.
    bundle = getattr(pipelines, file.registered.name if file and file.registered else BUNDLES[model])
    # torchaudio has no public way to build a bundle's model without its weights, or to ask for its normalization.
    params = bundle._params | {"encoder_num_layers": layer, "aux_num_out": None}
    network = (wavlm_model if bundle._model_type == "WavLM" else wav2vec2_model)(**params)
    if file:
        tensors = read_pickled_tensors(file.path) if file.registered else read_tensors(file.path)
        load_weights(network, tensors, where=file.where, most=most)
    backbone = assemble(network, stage_layers=stage_layers, normalise=bundle._normalize_waveform)
    backbone.origin = file.origin if file else None
    return backbone


def assemble(network: Any, *, stage_layers: int = 4, normalise: bool = False) -> SpeechBackbone:
    """Wrap a torchaudio `Wav2Vec2Model` of any size as a backbone that returns the output of its last layer."""
    return SpeechBackbone(network, stage_layers=stage_layers, normalise=normalise)
