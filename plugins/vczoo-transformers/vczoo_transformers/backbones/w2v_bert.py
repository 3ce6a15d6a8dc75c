"""w2v-BERT 2.0 as a backbone: frames of 20 ms from Kaldi's log-mels. Sources: arXiv:2108.06209, 2312.05187."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from vczoo import ContractError, Stage, Waveform
from vczoo_transformers.encoder import SAMPLE_RATE_HZ, WINDOW_SECONDS, EncoderBackbone, Group, grouped

__all__ = ["ConformerBackbone", "kaldi_mel"]

FRAME_LENGTH, MEL_HOP, FFT_LENGTH = 400, 160, 512
LOWEST_HZ = 20.0
PCM_SCALE = 32768.0  # Kaldi reads 16-bit integers
PREEMPHASIS = 0.97
POWER_FLOOR = 1.192092955078125e-07  # of a band
STACKED = 2  # mel frames per frame
VARIANCE_FLOOR = 1e-7


class ConformerBackbone(EncoderBackbone):
    """A projection of stacked log-mels, then conformer layers up to one of them. Frame t is centered on sample t * 320.

    Args:
        model: A Wav2Vec2BertModel of transformers, built with only the layers that are used.
        stage_layers: The number of layers per stage.
        window_seconds: The length of a window.

    Raises:
        ContractError: The model's input is not made of stacked pairs of mel frames.
    """

    def __init__(self, model: Any, *, stage_layers: int, window_seconds: float = WINDOW_SECONDS) -> None:
        config, layers = model.config, list(model.encoder.layers)
        self.num_mels, rest = divmod(config.feature_projection_input_dim, STACKED)
        if rest:
            raise ContractError(
                f"a w2v-BERT stacks {STACKED} mel frames, so feature_projection_input_dim is even; "
                f"got {config.feature_projection_input_dim}"
            )
        stages = [
            Stage(name, PositionedGroup([layers[i] for i in indices], copy.deepcopy(model.encoder.embed_positions)))
            for name, indices in grouped(len(layers), stage_layers)
        ]
        hop = STACKED * MEL_HOP
        super().__init__(
            ConformerFeatures(model),
            stages,
            hop_length=hop,
            channels=config.hidden_size,
            window_frames=round(window_seconds * SAMPLE_RATE_HZ) // hop,
        )

    def prepare(self, wave: Waveform) -> Tensor:
        """(B, S) -> (B * windows, 2 * num_mels, T)."""
        count = self.num_frames(wave.samples.shape[1])
        needed = (STACKED * count - 1) * MEL_HOP + FRAME_LENGTH
        before = (needed - count * self.spec.hop_length + self.spec.hop_length) // 2
        after = max(0, needed - before - wave.samples.shape[1])
        padded = nn.functional.pad(wave.samples, (before, after))[:, :needed]
        mel = kaldi_mel(padded, self.num_mels)
        return self.windows.cut(mel.reshape(len(mel), count, -1).transpose(1, 2), count)


class ConformerFeatures(nn.Module):
    """Norm and projection: (B, 2 * num_mels, T) -> the input of the first layer, (B, T, C)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.projection, self.dropout = model.feature_projection, model.encoder.dropout

    def forward(self, mel: Tensor) -> Tensor:
        """Normalize and project."""
        return self.dropout(self.projection(mel.transpose(1, 2))[0])  # type: ignore[no-any-return]


class PositionedGroup(Group):
    """Conformer layers with relative positions. Each stage has a copy of the module that computes them."""

    def __init__(self, layers: list[nn.Module], positions: nn.Module | None) -> None:
        super().__init__(layers)
        self.positions = positions

    def run(self, frames: Tensor) -> Tensor:
        """Like `forward`, but with all rows at once."""
        positions = None
        if self.positions is not None:
            # transformers caches the positions. Cached in inference mode, they could not be used in training.
            with torch.inference_mode(False), torch.no_grad():
                positions = self.positions(frames)
        for layer in self.layers:
            frames = layer(frames, None, positions)
        return frames


def kaldi_mel(samples: Tensor, num_mels: int) -> Tensor:
    """Kaldi's log-mels, each band of each item with mean 0 and variance 1: (B, S) -> (B, T, num_mels).

    Equal to transformers' SeamlessM4TFeatureExtractor, but in torch: frames of 25 ms without their mean,
    pre-emphasized, in a Povey window; the log of the powers in bands of Kaldi's mel scale.
    """
    with torch.autocast(samples.device.type, enabled=False):
        frames = (samples.float() * PCM_SCALE).unfold(1, FRAME_LENGTH, MEL_HOP)
        frames = frames - frames.mean(dim=2, keepdim=True)
        before: Tensor = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        window = torch.hann_window(FRAME_LENGTH, periodic=False, dtype=torch.float32, device=samples.device) ** 0.85
        spectrum = torch.fft.rfft((frames - PREEMPHASIS * before) * window, FFT_LENGTH)
        powers = spectrum.real.square() + spectrum.imag.square()
        mel = (powers @ _kaldi_filters(num_mels).to(samples.device)).clamp(min=POWER_FLOOR).log()
        mean, variance = mel.mean(dim=1, keepdim=True), mel.var(dim=1, keepdim=True, correction=1)
        normalized: Tensor = (mel - mean) / (variance + VARIANCE_FLOOR).sqrt()
        return normalized


@cache
def _kaldi_filters(num_mels: int) -> Tensor:
    """Triangular filters on Kaldi's mel scale: (FFT_LENGTH // 2 + 1, num_mels)."""
    filters = mel_filter_bank(
        FFT_LENGTH // 2 + 1,
        num_mels,
        LOWEST_HZ,
        SAMPLE_RATE_HZ / 2,
        SAMPLE_RATE_HZ,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    return torch.from_numpy(filters).float()
