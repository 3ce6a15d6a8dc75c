"""Vocoders of transformers: SpeechT5's HiFi-GAN, and UnivNet."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, SpeechT5HifiGan, UnivNetModel

from vczoo import Frames, MelSpec, Origin, Vocoder, Waveform
from vczoo_transformers import VOCODERS, weights_of
from vczoo_transformers.pretrained_folder import make_config
from vczoo_transformers.weights import load_checkpoint
from vczoo_transformers.weights_files import locate

__all__ = ["HifiGanVocoder", "UnivNetVocoder", "build_hifigan", "build_univnet"]

LANDMARK = "conv_pre.weight"
UNIVNET_RATE_HZ = 24000  # not in its configuration; from UnivNetFeatureExtractor
NOISE_SEED = 0
END_FRAMES = 10  # of silence after the end, as UnivNet's authors do; without it, UnivNet makes a noise there


class _MelVocoder(Vocoder):
    """A vocoder for whole recordings. Recordings of one length run as a batch, because the convolutions pad."""

    accepts: MelSpec

    def __init__(self, network: PreTrainedModel, accepts: MelSpec) -> None:
        super().__init__()
        self.network, self.accepts = network, accepts

    @abstractmethod
    def speak(self, mel: Tensor) -> Tensor:
        """(B, T, num_mels), all of it valid -> (B, T * hop_length)."""

    def forward(self, frames: Frames) -> Waveform:
        """(B, T, num_mels) under `accepts` -> (B, T * hop_length)."""
        hop = self.accepts.hop_length
        samples = frames.values.new_zeros(len(frames), int(frames.lengths.max()) * hop)
        for count in sorted(set(frames.lengths.tolist())):
            rows = torch.nonzero(frames.lengths == count).flatten()
            waveforms = self.speak(frames.values[rows, :count])
            padded = nn.functional.pad(waveforms, (0, samples.shape[1] - waveforms.shape[1]))
            samples = samples.index_copy(0, rows, padded)
        return Waveform(samples, self.accepts.sample_rate_hz, frames.lengths * hop)


class HifiGanVocoder(_MelVocoder):
    """The vocoder of SpeechT5: HiFi-GAN on log10-mels. Sources: arXiv:2010.05646, 2110.07205."""

    def __init__(self, network: SpeechT5HifiGan) -> None:
        config: Any = network.config
        super().__init__(
            network,
            MelSpec(
                sample_rate_hz=config.sampling_rate,
                num_mels=config.model_in_dim,
                fft_length=1024,
                hop_length=math.prod(config.upsample_rates),
                min_hz=80.0,
                max_hz=7600.0,
                floor=1e-10,
                log_base="10",
                padding="reflect",
            ),
        )

    def speak(self, mel: Tensor) -> Tensor:
        """(B, T, num_mels) -> (B, T * hop_length)."""
        samples: Tensor = self.network(mel)
        return samples


class UnivNetVocoder(_MelVocoder):
    """UnivNet, which shapes noise by the mel. The noise has a fixed seed. Source: arXiv:2106.07889."""

    def __init__(self, network: UnivNetModel) -> None:
        config: Any = network.config
        super().__init__(
            network,
            MelSpec(
                sample_rate_hz=UNIVNET_RATE_HZ,
                num_mels=config.num_mel_bins,
                fft_length=1024,
                hop_length=math.prod(config.resblock_stride_sizes),
                min_hz=0.0,
                max_hz=UNIVNET_RATE_HZ / 2,
                floor=1e-5,
                padding="reflect",
                centred=False,
                epsilon=1e-9,
            ),
        )
        self.noise_channels = config.model_in_channels

    def speak(self, mel: Tensor) -> Tensor:
        """(B, T, num_mels) -> (B, T * hop_length)."""
        count = mel.shape[1]
        mel = nn.functional.pad(mel, (0, 0, 0, END_FRAMES), value=math.log(self.accepts.floor))
        noise = torch.randn(mel.shape[1], self.noise_channels, generator=torch.Generator().manual_seed(NOISE_SEED))
        noise = noise.to(mel).expand(len(mel), -1, -1)
        samples: Tensor = self.network(mel, noise).waveforms
        return samples[:, : count * self.accepts.hop_length]


def build_hifigan(weights: str = "pretrained") -> HifiGanVocoder:
    """Build SpeechT5's HiFi-GAN.

    If its repository holds only a pytorch_model.bin, that file is checked against its checksum and then read with
    `weights_only`.

    Args:
        weights: `pretrained`; `pretrained@COMMIT` of the repository; `random`; a folder in transformers' layout; or a
            .safetensors file with transformers' tensor names.

    Raises:
        ContractError: The folder holds another model.
        WeightsError: The weights are unavailable or do not fit.
    """
    network, origin = _network("speecht5-hifigan", SpeechT5HifiGan, weights)
    vocoder = HifiGanVocoder(network)
    vocoder.origin = origin
    return vocoder


def build_univnet(weights: str = "pretrained") -> UnivNetVocoder:
    """Build UnivNet-c32, trained on 24 kHz speech.

    The argument and the errors are those of `build_hifigan`.
    """
    network, origin = _network("univnet", UnivNetModel, weights)
    vocoder = UnivNetVocoder(network)
    vocoder.origin = origin
    return vocoder


def _network(model: str, kind: type[Any], weights: str) -> tuple[Any, Origin | None]:
    name, values = f"transformers/{model}", VOCODERS[model]["config"]
    network = kind(make_config(name, values))
    checkpoint = locate(name, weights, weights_of(model), values, part="vocoder")
    if checkpoint:
        load_checkpoint(network, checkpoint, landmark=LANDMARK)
    return network, checkpoint.origin if checkpoint else None
