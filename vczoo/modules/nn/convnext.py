"""`ConvDecoder`: ConvNeXt blocks from content and pitch frames to log-mel frames, steered by an embedding or not."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.errors import ContractError

__all__ = ["ConvBlock", "ConvDecoder", "mean_absolute_error"]

DILATIONS = (1, 1, 2, 2)  # of the blocks, and again
KERNEL = 7
MOST_BLOCKS = 256
LOUDNESS = -6.0  # log-mels of quiet speech: a better place to start than 0, which is as loud as they get


class ConvDecoder(nn.Module):
    """Most blocks run at the content's frame rate and the last ones at that of the mel, which halves the cost.

    Source of the blocks: ConvNeXt, arXiv:2201.03545; of the steering: FiLM, arXiv:1709.07871.

    Args:
        frames: rate of the content.
        acoustic: the mel to make.
        channels: of the content that it is given.
        embedding_width: of what steers it; 0 for nothing.
        width: channels of the blocks.
        blocks: at the content's frame rate.
        fine_blocks: at the mel's frame rate, after them.

    Raises:
        ContractError: a size below 1, or more than 256 blocks.
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
            raise ContractError(f"width, blocks and fine_blocks are 1 or more, got {width}, {blocks} and {fine_blocks}")
        if max(blocks, fine_blocks) > MOST_BLOCKS:
            raise ContractError(f"blocks and fine_blocks are at most {MOST_BLOCKS}, got {blocks} and {fine_blocks}")
        self.content_per_acoustic = frames.frame_rate_hz / acoustic.frame_rate_hz
        self.first = acoustic.first_frame
        self.enter = nn.Linear(channels + 2, width)
        self.blocks = nn.ModuleList(ConvBlock(width, embedding_width, index) for index in range(blocks))
        self.enter_fine = nn.Linear(width + 2, width)
        self.fine_blocks = nn.ModuleList(ConvBlock(width, embedding_width, index) for index in range(fine_blocks))
        last = nn.Linear(width, acoustic.num_mels)
        self.exit = nn.Sequential(nn.LayerNorm(width), last)
        nn.init.constant_(last.bias, LOUDNESS)

    def forward(self, content: Frames, pitch: Frames, steer: Tensor | None = None) -> Frames:
        """Content (B, T, channels), pitch (B, T', 2) and embeddings (B, E) -> log-mel (B, T', num_mels)."""
        # Padding may hold NaN, which no product with a mask takes away, nor a gradient of 0.
        pitch = pitch.with_values(pitch.values.where(pitch.mask(), 0))
        content = content.cut(content.longest)
        coarse = _pitch_at(pitch, content, 1 / self.content_per_acoustic, -self.first)
        hidden = content.with_values(self.enter(torch.cat([content.values, coarse.values], dim=2)))
        for block in self.blocks:
            hidden = block(hidden, steer)
        hidden = hidden.resize(pitch, self.content_per_acoustic, self.first * self.content_per_acoustic)
        fine = pitch.values[:, : hidden.values.shape[1]]
        hidden = hidden.with_values(self.enter_fine(torch.cat([hidden.values, fine], dim=2)))
        for block in self.fine_blocks:
            hidden = block(hidden, steer)
        return hidden.with_values(self.exit(hidden.values))


def mean_absolute_error(made: Frames, target: Frames) -> Tensor:
    """L1 over the target's valid frames and all channels: ()."""
    mask = target.mask()
    error: Tensor = (made.values - target.values).abs().where(mask, 0).sum() / (mask.sum() * target.channels)
    return error


def _pitch_at(pitch: Frames, lengths: Frames, frames_per_frame: float, first: float) -> Frames:
    """Pitch at another rate, as many frames as others are.

    Log-F0 comes from its voiced neighbours alone, which an unvoiced 0 must not pull down.
    """
    resized = pitch.resize(lengths, frames_per_frame, first)
    log_f0, voiced = resized.values[..., :1], resized.values[..., 1:]
    return resized.with_values(torch.cat([log_f0 / voiced.clamp(min=1e-3), voiced], dim=2))


class ConvBlock(nn.Module):
    """One residual ConvNeXt block under FiLM where there is an embedding: frames of `width` channels -> the same.

    Args:
        width: channels.
        embedding_width: of what steers it; 0 for nothing.
        index: of the block, which decides its dilation.
    """

    def __init__(self, width: int, embedding_width: int, index: int) -> None:
        super().__init__()
        dilation = DILATIONS[index % len(DILATIONS)]
        self.convolution = nn.Conv1d(
            width, width, KERNEL, dilation=dilation, padding=dilation * (KERNEL // 2), groups=width
        )
        self.norm = nn.LayerNorm(width)
        self.film = nn.Linear(embedding_width, 2 * width) if embedding_width else None
        self.widen = nn.Linear(width, 3 * width)
        self.narrow = nn.Linear(3 * width, width)

    def forward(self, hidden: Frames, steer: Tensor | None = None) -> Frames:
        """(B, T, width) and embeddings (B, E), None without -> (B, T, width)."""
        # Zeros past the end, as the convolution sees them for a recording that stands alone.
        valid = hidden.values.where(hidden.mask(), 0).transpose(1, 2)
        normed = self.norm(self.convolution(valid).transpose(1, 2))
        if self.film:
            scale, shift = self.film(steer)[:, None].chunk(2, dim=2)
            normed = normed * (1 + scale) + shift
        return hidden.with_values(hidden.values + self.narrow(F.gelu(self.widen(normed))))
