"""Whisper's encoder as a backbone with frames of 20 ms. Source: arXiv:2212.04356."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.audio_utils import mel_filter_bank
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from vczoo import Stage, Waveform
from vczoo_transformers.encoder import SAMPLE_RATE_HZ, EncoderBackbone, Group, grouped
from vczoo_transformers.windowing import by_rows

__all__ = ["WhisperBackbone", "WhisperMel"]

FFT_LENGTH, MEL_HOP = 400, 160
MEL_FRAMES = 2  # per frame of the encoder: the stride of its second convolution
POWER_FLOOR = 1e-10
RANGE_DECADES = 8  # quieter bands are clamped to this far below the loudest band of the recording


class WhisperBackbone(EncoderBackbone):
    """The encoder up to one of its layers. Recordings are not padded to 30 s.

    Frame t is centered on sample t * 320. Recordings longer than 30 s are read in windows.

    Args:
        encoder: A Whisper encoder of transformers, built with only the layers that are used.
        stage_layers: The number of layers per stage.
        normed: Whether the last layer of the whole model is used, which a layer norm follows.
    """

    def __init__(self, encoder: WhisperEncoder, *, stage_layers: int, normed: bool) -> None:
        config = encoder.config
        layers, groups = list(encoder.layers), grouped(len(encoder.layers), stage_layers)
        stages = [
            Stage(
                name,
                Group(
                    [layers[i] for i in indices],
                    encoder.layer_norm if normed and indices.stop == len(layers) else None,
                ),
            )
            for name, indices in groups
        ]
        super().__init__(
            WhisperFeatures(encoder),
            stages,
            hop_length=MEL_FRAMES * MEL_HOP,
            channels=config.d_model,
            window_frames=config.max_source_positions,
        )
        self.mel = WhisperMel(config.num_mel_bins)

    def prepare(self, wave: Waveform) -> Tensor:
        """(B, S) -> the log-mel, (B * windows, num_mels, twice as many mel frames as frames)."""
        count = self.num_frames(wave.samples.shape[1])
        padded = nn.functional.pad(wave.samples, (0, count * self.spec.hop_length - wave.samples.shape[1]))
        return self.windows.cut(self.mel(padded), count, per_frame=MEL_FRAMES)


class WhisperMel(nn.Module):
    """Whisper's log-mel: log10 of Slaney's mel powers, clamped to 8 decades below the loudest, scaled.

    Equal to transformers' WhisperFeatureExtractor for the same samples.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, num_mels: int) -> None:
        super().__init__()
        bins, highest_hz = FFT_LENGTH // 2 + 1, SAMPLE_RATE_HZ / 2
        bank = mel_filter_bank(bins, num_mels, 0.0, highest_hz, SAMPLE_RATE_HZ, norm="slaney", mel_scale="slaney")
        filters = torch.from_numpy(bank).float()
        self.register_buffer("window", torch.hann_window(FFT_LENGTH), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """(B, S), where S is a multiple of 160 samples -> (B, num_mels, S // 160)."""
        with torch.autocast(samples.device.type, enabled=False):
            spectrum = torch.stft(
                samples.float(), FFT_LENGTH, MEL_HOP, window=self.window, pad_mode="reflect", return_complex=True
            )
            power = spectrum[..., :-1].abs().square()
            decades = torch.matmul(self.filters.T, power).clamp(min=POWER_FLOOR).log10()
            loudest = decades.amax(dim=(1, 2), keepdim=True)
            return (decades.clamp(min=loudest - RANGE_DECADES) + 4) / 4


class WhisperFeatures(nn.Module):
    """Two convolutions and the positions: the log-mel (B, num_mels, 2 T) -> the input of the first layer, (B, T, C).

    The positions are fixed sinusoids, kept as a buffer.
    """

    positions: Tensor

    def __init__(self, encoder: WhisperEncoder) -> None:
        super().__init__()
        self.conv1, self.conv2 = encoder.conv1, encoder.conv2
        self.dropout = nn.Dropout(encoder.config.dropout)
        self.register_buffer("positions", encoder.embed_positions.weight.detach().clone())

    def forward(self, mel: Tensor) -> Tensor:
        """Run both convolutions and add the first T positions."""
        return by_rows(self.run, mel, mel.shape[2] // MEL_FRAMES)

    def run(self, mel: Tensor) -> Tensor:
        """Like `forward`, but with all rows at once."""
        frames = nn.functional.gelu(self.conv2(nn.functional.gelu(self.conv1(mel)))).transpose(1, 2)
        return self.dropout(frames + self.positions[: frames.shape[1]])  # type: ignore[no-any-return]


def whisper_encoder(config: WhisperConfig, num_layers: int) -> WhisperEncoder:
    """The encoder with random weights and only its first `num_layers` layers."""
    config.encoder_layers = num_layers
    return WhisperEncoder(config)
