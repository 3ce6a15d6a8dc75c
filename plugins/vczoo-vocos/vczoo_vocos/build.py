"""Builds a `Vocos` from a recipe's options."""

from __future__ import annotations

from vczoo import MelSpec
from vczoo_vocos import MEL_24KHZ
from vczoo_vocos.network import Vocos
from vczoo_vocos.weights import load_weights

__all__ = ["build_published", "build_small"]

HIDDEN_PER_WIDTH = 3


def build_published(*, weights: str = "pretrained") -> Vocos:
    """Build charactr/vocos-mel-24khz.

    Args:
        weights: `pretrained`; `pretrained@COMMIT` of the repository, if that commit holds the same file; `random`; or
            the path of a .safetensors file with the published tensor names, of a copy of the published
            pytorch_model.bin, or of a folder that holds either.

    Raises:
        WeightsError: The weights do not exist, are unavailable, or do not fit.
    """
    mel = MelSpec(
        sample_rate_hz=24000,
        num_mels=100,
        fft_length=1024,
        hop_length=256,
        max_hz=12000.0,
        floor=1e-7,
        filter_scale="htk",
        filter_norm="none",
        padding="reflect",
    )
    vocoder = Vocos(mel, width=512, hidden=512 * HIDDEN_PER_WIDTH, blocks=8)
    return load_weights(vocoder, "vocos/mel-24khz", weights, (MEL_24KHZ,))


def build_small(
    *,
    weights: str = "random",
    width: int = 256,
    blocks: int = 8,
    num_mels: int = 80,
    fft_length: int = 1024,
    hop_length: int = 160,
    sample_rate_hz: int = 16000,
) -> Vocos:
    """Build a Vocos to train, on vczoo's own mels.

    Args:
        weights: `random`, or the path of a .safetensors file of a Vocos with these sizes.
        width: The number of channels between the blocks; inside a block there are three times as many.
        blocks: The number of blocks.
        num_mels: The number of mel bands that it reads.
        fft_length: The window of the mel, in samples.
        hop_length: The hop of the mel, in samples.
        sample_rate_hz: The sample rate of the mel and of the output.

    Raises:
        ContractError: A size is out of range, or the sizes do not make a mel.
        WeightsError: The weights do not exist or do not fit.
    """
    mel = MelSpec(
        sample_rate_hz=sample_rate_hz,
        num_mels=num_mels,
        fft_length=fft_length,
        hop_length=hop_length,
        max_hz=sample_rate_hz / 2,
    )
    vocoder = Vocos(mel, width=width, hidden=width * HIDDEN_PER_WIDTH, blocks=blocks)
    return load_weights(vocoder, "vocos/small-16khz", weights, ())
