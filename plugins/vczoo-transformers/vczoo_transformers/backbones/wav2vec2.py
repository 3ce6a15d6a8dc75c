"""wav2vec 2.0, HuBERT, WavLM, data2vec and UniSpeech as backbones with frames of 20 ms.

Sources: arXiv:2006.11477, 2106.07447, 2110.13900, 2202.03555.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

from vczoo import Stage, Waveform
from vczoo_transformers.encoder import SAMPLE_RATE_HZ, WINDOW_SECONDS, EncoderBackbone, Group, grouped
from vczoo_transformers.windowing import by_rows

__all__ = ["BiasedGroup", "WaveBackbone", "wave_encoder"]

VARIANCE_FLOOR = 1e-7  # transformers' Wav2Vec2FeatureExtractor


class WaveBackbone(EncoderBackbone):
    """Convolutions over the waveform, then transformer layers up to one of them.

    The convolutions do not pad. They would make 49 frames of one second, the first centered on sample 200, and no frame
    of 24 ms. So the waveform is padded with zeros on both sides, and frame t is centered on sample t * 320.

    Args:
        model: A model of transformers, built with only the layers that are used.
        stage_layers: The number of layers per stage.
        last: Whether the last layer of the whole model is used. Models that normalize before each layer have one more
            norm after it.
        normalise: Whether the model expects waveforms with mean 0 and variance 1.
        window_seconds: The length of a window.
    """

    def __init__(
        self,
        model: Any,
        *,
        stage_layers: int,
        last: bool,
        normalise: bool,
        window_seconds: float = WINDOW_SECONDS,
    ) -> None:
        config, layers = model.config, list(model.encoder.layers)
        after = getattr(config, "do_stable_layer_norm", False)
        stages = []
        for name, indices in grouped(len(layers), stage_layers):
            own = [layers[i] for i in indices]
            norm = model.encoder.layer_norm if last and after and indices.stop == len(layers) else None
            biased = config.model_type == "wavlm"
            stages.append(Stage(name, BiasedGroup(own, norm, layers[0].attention) if biased else Group(own, norm)))
        hop = math.prod(config.conv_stride)
        super().__init__(
            WaveFeatures(model, None if after else model.encoder.layer_norm),
            stages,
            hop_length=hop,
            channels=config.hidden_size,
            window_frames=round(window_seconds * SAMPLE_RATE_HZ) // hop,
        )
        self.normalise = normalise
        self.reach = reach(config.conv_kernel, config.conv_stride)

    def prepare(self, wave: Waveform) -> Tensor:
        """(B, S) -> (B * windows, S'), where S' is the number of samples that the frames of a window cover."""
        samples, hop = wave.samples, self.spec.hop_length
        count = self.num_frames(samples.shape[1])
        if self.normalise:
            mean, variance = samples.mean(dim=1, keepdim=True), samples.var(dim=1, keepdim=True, correction=0)
            samples = (samples - mean) / (variance + VARIANCE_FLOOR).sqrt()
        before, needed = self.reach // 2, (count - 1) * hop + self.reach
        padded = nn.functional.pad(samples, (before, max(0, needed - before - samples.shape[1])))[:, :needed]
        return self.windows.cut(padded, count, per_frame=hop, beyond=self.reach - hop)


class WaveFeatures(nn.Module):
    """Convolutions, projection and convolved positions: (B, S) -> the input of the first layer, (B, T, C)."""

    def __init__(self, model: Any, norm: nn.Module | None) -> None:
        super().__init__()
        self.convolutions, self.projection = model.feature_extractor, model.feature_projection
        # transformers would ask for a gradient of the waveform, for gradient checkpointing, which is not used here.
        self.convolutions._requires_grad = False
        self.positions, self.norm, self.dropout = model.encoder.pos_conv_embed, norm, model.encoder.dropout
        self.hop_length = math.prod(model.config.conv_stride)

    def forward(self, samples: Tensor) -> Tensor:
        """Run the convolutions and add the positions."""
        return by_rows(self.run, samples, samples.shape[1] // self.hop_length)

    def run(self, samples: Tensor) -> Tensor:
        """Like `forward`, but with all rows at once."""
        projected = self.projection(self.convolutions(samples).transpose(1, 2))
        frames: Tensor = projected[0] if isinstance(projected, tuple) else projected
        frames = frames + self.positions(frames)
        return self.dropout(frames if self.norm is None else self.norm(frames))  # type: ignore[no-any-return]


class BiasedGroup(Group):
    """Layers of WavLM. Each adds the position bias from the first layer's embedding, with a gate of its own.

    Args:
        layers: As in `Group`.
        last: As in `Group`.
        first: The attention of the model's first layer, which may belong to another stage.
    """

    def __init__(self, layers: Sequence[nn.Module], last: nn.Module | None, first: Any) -> None:
        super().__init__(layers, last)
        self._first = (first,)  # in a tuple, so that torch does not register it as a part of this stage

    def run(self, frames: Tensor) -> Tensor:
        """Like `forward`, but with all rows at once."""
        rows, length = frames.shape[:2]
        bias = self._first[0].compute_bias(length, length)
        bias = bias.expand(rows, -1, -1, -1).reshape(-1, length, length)
        for layer in self.layers:
            frames = layer(frames, None, bias)[0]
        return self.last(frames) if self.last is not None else frames


def wave_encoder(config: Any, num_layers: int) -> nn.Module:
    """The model with random weights and only its first `num_layers` layers, without masking and adapter."""
    config.num_hidden_layers = num_layers
    config.mask_time_prob = config.mask_feature_prob = 0.0
    config.add_adapter = False
    config.dtype = torch.float32
    model: nn.Module = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    return model


def reach(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """The number of samples that one frame covers."""
    samples = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples
