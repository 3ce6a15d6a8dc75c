"""`SpeechBackbone`: WavLM, HuBERT or wav2vec 2.0, read after one of its transformer layers.

A frame covers 400 samples, and frames are 320 samples apart. The recording is padded with 200 zeros before and 199
after, so frame t is centered on sample 320 t, like a centered mel frame, and S samples give ceil(S / 320) frames.

Recordings longer than 30 s run in windows, because the cost of attention grows with the square of the length. Windows
overlap by twice the context, and frames closer than the context to an inner edge of a window are dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo import Backbone, Frames, FrameSpec, Stage, Waveform, Windows

__all__ = ["SpeechBackbone"]

SAMPLE_RATE_HZ = 16000
HOP_LENGTH = 320
RECEPTIVE_FIELD = 400  # samples that one frame of the convolutions reads
PADDING = (RECEPTIVE_FIELD // 2, RECEPTIVE_FIELD // 2 - 1)  # before and after
WINDOW_FRAMES = 30 * SAMPLE_RATE_HZ // HOP_LENGTH
CONTEXT_FRAMES = 2 * SAMPLE_RATE_HZ // HOP_LENGTH
FRAMES_AT_ONCE = 2 * WINDOW_FRAMES  # limits memory, however long the recording is


class SpeechBackbone(Backbone):
    """The first layers of a WavLM, HuBERT or wav2vec 2.0 model (torchaudio; arXiv:2110.13900, 2106.07447, 2006.11477).

    Args:
        model: A torchaudio `Wav2Vec2Model`, cut after the layer whose output is returned.
        stage_layers: The number of transformer layers per stage. The convolutions and everything else before the
            first layer are a stage of their own.
        normalise: Whether the model was trained on waveforms with mean 0 and standard deviation 1.
        window_frames: The length of a window, in frames.
        context_frames: The number of frames dropped at each inner edge of a window.
    """

    def __init__(
        self,
        model: Any,
        *,
        stage_layers: int = 4,
        normalise: bool = False,
        window_frames: int = WINDOW_FRAMES,
        context_frames: int = CONTEXT_FRAMES,
    ) -> None:
        super().__init__()
        transformer = model.encoder.transformer
        stages: dict[str, nn.Module] = {"features": Features(model)}
        layers = list(transformer.layers)
        for start in range(0, len(layers), stage_layers):
            group = layers[start : start + stage_layers]
            stages[f"layers{start + 1}to{start + len(group)}"] = Layers(group, layers[0].attention)
        self.trunk = nn.ModuleDict(stages)
        self.layer_stages = len(self.trunk)
        self.normalise = normalise
        self.windows = Windows(window_frames, context_frames)
        self.spec = FrameSpec(SAMPLE_RATE_HZ, HOP_LENGTH, transformer.pos_conv_embed.embed_dim)

    def stages(self) -> tuple[Stage, ...]:
        """`features`, then groups of transformer layers."""
        return tuple(Stage(name, module) for name, module in self.trunk.items())

    def prepare(self, wave: Waveform) -> Tensor:
        """(B, S) -> (B, S + 399), or (B * windows, samples of a window), the windows of an item next to each other."""
        length = int(wave.lengths.max())
        samples = wave.samples[:, :length]
        if self.normalise:
            samples = F.layer_norm(samples, (length,))
        samples = F.pad(samples, PADDING)
        count, beyond = self.num_frames(length), RECEPTIVE_FIELD - HOP_LENGTH
        return self.windows.cut(samples, count, per_frame=HOP_LENGTH, beyond=beyond)

    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        """(B * windows, frames of a window, C) -> (B, T, C)."""
        count = int(lengths.max())
        return Frames(self.windows.join(activation, count)[:, :count], lengths)


class Features(nn.Module):
    """Convolutions, projection and positional convolution: (R, S) -> (R, T, C)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        transformer = model.encoder.transformer
        self.extractor = model.feature_extractor
        self.projection = model.encoder.feature_projection
        self.position = transformer.pos_conv_embed
        # In models that have this norm after the last layer, torchaudio's `extract_features` leaves it out.
        self.norm = transformer.layer_norm if transformer.layer_norm_first else nn.Identity()
        self.dropout = transformer.dropout

    def forward(self, samples: Tensor) -> Tensor:
        """(R, S) -> (R, 1 + (S - 400) // 320, C)."""
        return _in_parts(self._features, samples, samples.shape[1] // HOP_LENGTH)

    def _features(self, samples: Tensor) -> Tensor:
        features = self.projection(self.extractor(samples, None)[0])
        features = self.norm(features + self.position(features))
        return self.dropout(features)  # type: ignore[no-any-return]


class Layers(nn.Module):
    """Some of the transformer layers: (R, T, C) -> (R, T, C). No layer is dropped in training.

    Args:
        layers: The transformer layers.
        first: The attention of the model's first layer. In WavLM it holds the embedding of relative positions that
            every layer uses. It belongs to that layer's stage; this module only refers to it.
    """

    def __init__(self, layers: list[nn.Module], first: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self._first = (first,)  # in a tuple, so that torch does not register it as a child of this module

    def forward(self, frames: Tensor) -> Tensor:
        """(R, T, C) -> (R, T, C)."""
        first = self._first[0]
        bias = None
        if getattr(first, "rel_attn_embed", None) is not None:
            bias = first.compute_bias(frames.shape[1], frames.shape[1])[None]
        return _in_parts(lambda rows: self._layers(rows, bias), frames, frames.shape[1])

    def _layers(self, frames: Tensor, bias: Tensor | None) -> Tensor:
        for layer in self.layers:
            frames, _ = layer(frames, position_bias=bias)
        return frames


def _in_parts(function: Callable[[Tensor], Tensor], rows: Tensor, num_frames: int) -> Tensor:
    """Apply a function to the rows in parts of at most `FRAMES_AT_ONCE` frames, to limit memory."""
    at_once = max(1, FRAMES_AT_ONCE // max(1, num_frames))
    if rows.shape[0] <= at_once:
        return function(rows)
    return torch.cat([function(part) for part in torch.chunk(rows, -(-rows.shape[0] // at_once))])
