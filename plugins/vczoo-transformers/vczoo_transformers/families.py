"""Families of encoders: how to build, load and cut each model type of transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedConfig

from vczoo import ContractError
from vczoo_transformers.backbones.w2v_bert import ConformerBackbone
from vczoo_transformers.backbones.wav2vec2 import WaveBackbone, wave_encoder
from vczoo_transformers.backbones.whisper import WhisperBackbone, whisper_encoder
from vczoo_transformers.encoder import EncoderBackbone

__all__ = ["Family", "family_of"]


@dataclass(frozen=True)
class Family:
    """Encoders that are built, loaded and cut in the same way.

    Attributes:
        layers_field: The configuration's field for the number of layers.
        landmark: The name of a tensor that every encoder of the family has; it locates the encoder in a checkpoint.
        make: Builds an encoder with random weights from a configuration and a number of layers.
        wrap: Makes a backbone from an encoder, `stage_layers`, whether the model's last layer is read, and whether its
            waveforms are normalized.
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
        ContractError: It is not an audio encoder, or vczoo cannot cut it into stages yet.
    """
    if config.model_type not in FAMILIES:
        raise ContractError(
            f"{where} is a {config.model_type}, which is not an audio encoder that vczoo can read layer by layer; "
            f"supported are: {', '.join(FAMILIES)}"
        )
    return FAMILIES[config.model_type]
