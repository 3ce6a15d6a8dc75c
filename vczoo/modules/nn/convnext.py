"""`ConvDecoder`, a mel decoder made of ConvNeXt blocks.

The decoder computes log-mel frames from content and pitch frames, and optionally from a speaker embedding.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.errors import ContractError
from vczoo.modules.nn.convnext_block import ConvNeXtBlock

__all__ = ["ConvDecoder", "apply_blocks", "conv_blocks", "mean_absolute_error"]

DILATIONS = (1, 1, 2, 2)  # dilations of successive blocks, repeated
MOST_BLOCKS = 256
LOUDNESS = -6.0  # initial bias: log-mels of quiet speech; 0 would be as loud as speech gets


class ConvDecoder(nn.Module):
    """Convolutional decoder from content and pitch frames to log-mel frames.

    Most blocks run at the content's frame rate, and only the last ones at the mel's frame rate, which halves the cost.
    An embedding can scale and shift the activations of every block.

    Source: the blocks are from ConvNeXt, arXiv:2201.03545; the conditioning is FiLM, arXiv:1709.07871.

    Args:
        frames: Frame format of the content. Only its frame rate is used.
        acoustic: Format of the mel to predict.
        channels: Number of channels of the content.
        embedding_width: Number of channels of the embedding; 0 for a decoder without embedding.
        width: Number of channels of the blocks.
        blocks: Number of blocks at the content's frame rate.
        fine_blocks: Number of blocks at the mel's frame rate, after the others.

    Raises:
        ContractError: A size is below 1, or there are more than 256 blocks of one kind.
    """

    def __init__(
        self,
        *,
        frames: FrameSpec,
        acoustic: MelSpec,
        channels: int,
        embedding_width: int,
        width: int,
        blocks: int,
        fine_blocks: int,
    ) -> None:
        super().__init__()
        if min(width, blocks, fine_blocks) < 1:
            raise ContractError(
                f"width, blocks and fine_blocks must be 1 or more, got {width}, {blocks} and {fine_blocks}"
            )
        if max(blocks, fine_blocks) > MOST_BLOCKS:
            raise ContractError(f"blocks and fine_blocks must be at most {MOST_BLOCKS}, got {blocks} and {fine_blocks}")
        self.content_per_acoustic = frames.frame_rate_hz / acoustic.frame_rate_hz
        self.first = acoustic.first_frame
        self.enter = nn.Linear(channels + 2, width)
        self.blocks = conv_blocks(width, embedding_width, blocks)
        self.enter_fine = nn.Linear(width + 2, width)
        self.fine_blocks = conv_blocks(width, embedding_width, fine_blocks)
        last = nn.Linear(width, acoustic.num_mels)
        self.exit = nn.Sequential(nn.LayerNorm(width), last)
        nn.init.constant_(last.bias, LOUDNESS)

    def forward(self, content: Frames, pitch: Frames, steer: Tensor | None = None) -> Frames:
        """Predict log-mel frames (B, T', num_mels).

        Args:
            content: Content frames, (B, T, channels).
            pitch: Pitch frames at the mel's frame rate, (B, T', 2): scaled log-F0 and voicing, as in `Source.pitch`.
            steer: Embeddings, (B, embedding_width); None for a decoder without embedding.
        """
        # Not a product with the mask: padding may hold NaN, and NaN times 0 is NaN, in the gradient too.
        pitch = pitch.with_values(pitch.values.where(pitch.mask(), 0))
        content = content.cut(content.longest)
        coarse = _pitch_at(pitch, content, 1 / self.content_per_acoustic, -self.first)
        hidden = content.with_values(self.enter(torch.cat([content.values, coarse.values], dim=2)))
        hidden = apply_blocks(self.blocks, hidden, steer)
        hidden = hidden.resize(pitch, self.content_per_acoustic, self.first * self.content_per_acoustic)
        fine = pitch.values[:, : hidden.values.shape[1]]
        hidden = hidden.with_values(self.enter_fine(torch.cat([hidden.values, fine], dim=2)))
        hidden = apply_blocks(self.fine_blocks, hidden, steer)
        return hidden.with_values(self.exit(hidden.values))


def mean_absolute_error(predicted: Frames, target: Frames) -> Tensor:
    """Return the mean absolute error over the target's valid frames and all channels: (B, T, C), (B, T, C) -> ()."""
    mask = target.mask()
    error: Tensor = (predicted.values - target.values).abs().where(mask, 0).sum() / (mask.sum() * target.channels)
    return error


def _pitch_at(pitch: Frames, lengths: Frames, frames_per_frame: float, first: float) -> Frames:
    """Resample pitch frames to another frame rate and to the lengths of other frames.

    Log-F0 is interpolated between voiced frames only, because the 0 of an unvoiced frame would pull it down.
    """
    resized = pitch.resize(lengths, frames_per_frame, first)
    log_f0, voiced = resized.values[..., :1], resized.values[..., 1:]
    return resized.with_values(torch.cat([log_f0 / voiced.clamp(min=1e-3), voiced], dim=2))


def conv_blocks(width: int, embedding_width: int, count: int) -> nn.ModuleList:
    """Make successive blocks on `Frames`, whose dilations repeat: 1, 1, 2, 2.

    Args:
        width: Number of channels of the blocks.
        embedding_width: Number of channels of the embedding; 0 for blocks without embedding.
        count: Number of blocks.
    """
    return nn.ModuleList(
        ConvNeXtBlock(width, dilation=DILATIONS[index % len(DILATIONS)], embedding_width=embedding_width)
        for index in range(count)
    )


def apply_blocks(blocks: Iterable[nn.Module], hidden: Frames, embedding: Tensor | None = None) -> Frames:
    """Apply blocks of `conv_blocks` one after another: (B, T, width) -> (B, T, width)."""
    for block in blocks:
        hidden = hidden.with_values(block(hidden.values, hidden.mask(), embedding))
    return hidden
