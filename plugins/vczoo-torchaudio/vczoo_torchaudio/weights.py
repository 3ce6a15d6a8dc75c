"""torchaudio's weights, loaded strictly into a network that may have fewer layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vczoo import load_strictly

__all__ = ["load_weights"]

LAYERS = "encoder.transformer.layers."
CLASSIFIER = "aux."
# torch renamed the tensors of weight normalization in 2.1; torchaudio publishes files of both kinds.
RENAMED = {".weight_g": ".parametrizations.weight.original0", ".weight_v": ".parametrizations.weight.original1"}


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
