"""Log-mel Frames in, the image that a vision backbone reads out: time runs along the width."""

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
LOUDEST_LOG_MEL = 2.0  # a full-scale tone reaches about this under a Slaney mel of a 1024-point FFT


def mel_image(
    mel: Frames,
    spec: MelSpec,
    *,
    width_multiple: int,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    deviation: tuple[float, ...] = IMAGENET_DEVIATION,
) -> Tensor:
    """Draw log-mels as a grey image normalised as the backbone was trained: (B, len(mean), num_mels, width).

    The floor of the spec is black and `LOUDEST_LOG_MEL` is white, the same for every utterance, so that an
    image does not depend on what it is batched with. The width is the next multiple of `width_multiple`;
    what follows an utterance is silence, hence black.
    """
    if mel.channels != spec.num_mels:
        raise ContractError(f"a mel of {spec.num_mels} bands was expected, got {mel.channels}")
    black = math.log(spec.floor)
    values = torch.where(mel.mask(), mel.values, torch.full_like(mel.values, black))
    width = -(-values.shape[1] // width_multiple) * width_multiple
    values = torch.nn.functional.pad(values, (0, 0, 0, width - values.shape[1]), value=black)
    grey = ((values - black) / (LOUDEST_LOG_MEL - black)).transpose(1, 2)[:, None]
    shape = (1, len(mean), 1, 1)
    return (grey - grey.new_tensor(mean).view(shape)) / grey.new_tensor(deviation).view(shape)


def frames_from_map(activation: Tensor, lengths: Tensor) -> Frames:
    """Read a feature map (B, C, F, T) as frames: (B, T, C * F), its padding after them."""
    if activation.ndim != 4:
        raise ContractError(
            f"a feature map has shape (B, C, F, T): channels, frequency, time; got {tuple(activation.shape)}"
        )
    values = activation.permute(0, 3, 1, 2).flatten(2)
    return Frames(values, lengths)
