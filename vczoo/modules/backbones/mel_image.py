"""Images of log-mels for vision backbones, and frames from their feature maps.

In images and feature maps, time runs along the width and frequency along the height.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vczoo.audio.frames import Frames
from vczoo.audio.specs import MelSpec
from vczoo.errors import ContractError

__all__ = ["IMAGENET_DEVIATION", "IMAGENET_MEAN", "frames_from_map", "mel_image"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
LOUDEST_LOG_MEL = 2.0  # about the log-mel of a full-scale tone, for Slaney mels of a 1024-point FFT


def mel_image(
    mel: Frames,
    spec: MelSpec,
    *,
    width_multiple: int,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    deviation: tuple[float, ...] = IMAGENET_DEVIATION,
) -> Tensor:
    """Convert log-mels to gray images, normalized as in the backbone's training.

    Black is the floor of the spec and white is `LOUDEST_LOG_MEL` for every utterance, so an image does not depend on
    the rest of the batch. After the end of an utterance the image is black, that is, silent.

    Args:
        mel: Log-mel frames, (B, T, num_mels).
        spec: Format of the mel.
        width_multiple: The width of the images is T rounded up to a multiple of this.
        mean: Mean of each image channel in the backbone's training.
        deviation: Standard deviation of each image channel in the backbone's training.

    Returns:
        Images (B, len(mean), num_mels, width).

    Raises:
        ContractError: The mel does not have the number of bands of the spec.
    """
    if mel.channels != spec.num_mels:
        raise ContractError(f"expected a mel of {spec.num_mels} bands, got {mel.channels}")
    black = math.log(spec.floor)
    values = torch.where(mel.mask(), mel.values, torch.full_like(mel.values, black))
    width = -(-values.shape[1] // width_multiple) * width_multiple
    values = torch.nn.functional.pad(values, (0, 0, 0, width - values.shape[1]), value=black)
    gray = ((values - black) / (LOUDEST_LOG_MEL - black)).transpose(1, 2)[:, None]
    shape = (1, len(mean), 1, 1)
    return (gray - gray.new_tensor(mean).view(shape)) / gray.new_tensor(deviation).view(shape)


def frames_from_map(activation: Tensor, lengths: Tensor) -> Frames:
    """Convert a feature map to frames: (B, C, F, T) -> (B, T, C * F).

    Args:
        activation: Feature map with channels, frequency and time, (B, C, F, T).
        lengths: Number of frames of each item, (B,). The values after them are padding.

    Raises:
        ContractError: The feature map does not have four dimensions.
    """
    if activation.ndim != 4:
        raise ContractError(
            "a feature map must have shape (B, C, F, T): batch, channels, frequency, time; "
            f"got {tuple(activation.shape)}"
        )
    values = activation.permute(0, 3, 1, 2).flatten(2)
    return Frames(values, lengths)
