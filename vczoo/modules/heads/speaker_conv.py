"""Speaker head with convolutions before the pooling, for frames without temporal context, such as mels."""

from __future__ import annotations

from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.heads.speaker import SpeakerAAM
from vczoo.modules.interfaces.heads import Loss, SpeakerHead
from vczoo.modules.nn.convnext import apply_blocks, conv_blocks

__all__ = ["SpeakerConv"]

MOST_BLOCKS = 64


class SpeakerConv(SpeakerHead):
    """Convolutions in time, then statistics pooling and an embedding with additive angular margin.

    The structure is that of x-vectors (Snyder et al. 2018), with the blocks of ConvNeXt (arXiv:2201.03545) and the loss
    of ArcFace (arXiv:1801.07698). The mean over time and channels is subtracted from the frames, so the loudness of a
    recording has no effect.

    Args:
        frames: Format of the frames that the head reads.
        num_speakers: Number of speakers, which is the number of class centers.
        width: Number of channels of the embedding.
        channels: Number of channels of the convolutions.
        blocks: Number of ConvNeXt blocks. Their kernels are 7 frames wide.
        margin: Angle in radians that is added to the angle of the correct class in the loss.
        scale: Factor of the cosines before the softmax.
        dropout: Share of the units that is dropped before the pooling in training.

    Raises:
        ContractError: A size is below 1, there are more than 64 blocks, or margin, scale or dropout is out of range.
    """

    def __init__(
        self,
        *,
        frames: FrameSpec,
        num_speakers: int,
        width: int = 128,
        channels: int = 128,
        blocks: int = 3,
        margin: float = 0.2,
        scale: float = 30.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if min(channels, blocks) < 1 or blocks > MOST_BLOCKS:
            raise ContractError(
                f"channels must be 1 or more and blocks 1 to {MOST_BLOCKS}, got {channels} and {blocks}"
            )
        if not 0 <= dropout < 1:
            raise ContractError(f"dropout must be in [0, 1), got {dropout}")
        self.enter = nn.Linear(frames.channels, channels)
        self.blocks = conv_blocks(channels, 0, blocks)
        self.dropout = nn.Dropout(dropout)
        pooled = FrameSpec(frames.sample_rate_hz, frames.hop_length, channels)
        self.head = SpeakerAAM(frames=pooled, num_speakers=num_speakers, width=width, margin=margin, scale=scale)
        self.embedding_width = width

    @property
    def num_speakers(self) -> int:  # type: ignore[override]
        """Number of speakers that the logits distinguish."""
        return self.head.num_speakers

    def embed(self, frames: Frames) -> Tensor:
        """Return embeddings of length 1: (B, T, C) -> (B, width)."""
        return self.head.embed(self._encode(frames))

    def logits(self, frames: Frames) -> Tensor:
        """Return the scaled cosines to the class centers: (B, T, C) -> (B, num_speakers)."""
        return self.head.logits(self._encode(frames))

    def loss(self, frames: Frames, speakers: Tensor) -> Loss:
        """Return the cross-entropy, with the margin added to the angle of the correct class.

        The metric `accuracy` is computed without the margin.
        """
        return self.head.loss(self._encode(frames), speakers)

    def restart(self, num_speakers: int) -> None:
        """Replace the class centers by random ones for `num_speakers` speakers."""
        self.head.restart(num_speakers)

    def grow(self, num_speakers: int) -> None:
        """Add random class centers until there are `num_speakers`. The old centers do not change."""
        self.head.grow(num_speakers)

    def _encode(self, frames: Frames) -> Frames:
        """Apply the convolutions: (B, T, C) -> (B, T, channels)."""
        mean, _ = frames.moments()
        level = mean.mean(dim=1)[:, None, None]
        hidden = frames.with_values(self.enter((frames.values - level).where(frames.mask(), 0)))
        hidden = apply_blocks(self.blocks, hidden)
        return hidden.with_values(self.dropout(hidden.values))
