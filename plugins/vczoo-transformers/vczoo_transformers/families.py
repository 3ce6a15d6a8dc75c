"""The families of encoders: a configuration in; how its encoder and its backbone are made out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedConfig

from vczoo import ContractError
from vczoo_transformers.conformer import ConformerBackbone
from vczoo_transformers.encoder import EncoderBackbone
from vczoo_transformers.wave import WaveBackbone, wave_encoder
from vczoo_transformers.whisper import WhisperBackbone, whisper_encoder

__all__ = ["Family", "family_of"]


@dataclass(frozen=True)
class Family:
    """Encoders that are made, loaded and cut alike.

    Attributes:
        layers_field: what their configuration calls the number of layers.
        landmark: a tensor that each of them has, by whose name theirs are found in a checkpoint.
        make: the encoder with random weights and so many layers.
        wrap: the backbone of an encoder, given `stage_layers`, whether the model's last layer is read, and whether
            its waveforms are normalised.
    """

    layers_field: str
    landmark: str
    make: Callable[[Any, int], nn.Module]
    wrap: Callable[[Any, int, bool, bool], EncoderBackbone]


WHISPER = Family(
    "encoder_layers",
    "conv1.weight",
    whisper_encoder,
    lambda encoder, stage_layers, last, _: WhisperBackbone(encoder, stage_layers=stage_layers, normed=last),
)
WAVE = Family(
    "num_hidden_layers",
    "feature_projection.projection.weight",
    wave_encoder,
    lambda model, stage_layers, last, normalise: WaveBackbone(
        model, stage_layers=stage_layers, last=last, normalise=normalise
    ),
)
CONFORMER = Family(
    "num_hidden_layers",
    "feature_projection.projection.weight",
    wave_encoder,
    lambda model, stage_layers, *_: ConformerBackbone(model, stage_layers=stage_layers),
)
FAMILIES = {
    "whisper": WHISPER,
    "wav2vec2-bert": CONFORMER,
    **dict.fromkeys(("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat"), WAVE),
}


def family_of(where: str, config: PreTrainedConfig) -> Family:
    """The family of a configuration.

    Raises:
        ContractError: it is no audio encoder, or one that cannot be cut into stages yet.
    """
    if config.model_type not in FAMILIES:
        raise ContractError(
            f"{where} is a {config.model_type}, which is no audio encoder that can be read layer by layer; "
            f"these are: {', '.join(FAMILIES)}"
        )
    return FAMILIES[config.model_type]
