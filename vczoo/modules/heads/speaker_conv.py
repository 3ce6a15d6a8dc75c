"""`SpeakerConv`: a speaker head that listens before it averages, for frames that nobody has worked on: mels."""

from __future__ import annotations

from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.heads.speaker import SpeakerAAM
from vczoo.modules.interfaces.heads import Loss, SpeakerHead
from vczoo.modules.nn.convnext import ConvBlock

__all__ = ["SpeakerConv"]

MOST_BLOCKS = 64


class SpeakerConv(SpeakerHead):
    """Convolutions in time, then mean and deviation, then an embedding under an additive angular margin.

    As x-vectors (Snyder et al. 2018), with blocks of ConvNeXt (arXiv:2201.03545) and the loss of ArcFace
    (arXiv:1801.07698). How loud a recording is does not count: the mean over time and channels is taken away.

    Args:
        frames: what it reads.
        num_speakers: number of class centres.
        width: of the embedding.
        channels: of the convolutions.
        blocks: how many, 7 frames wide each.
        margin: added to the angle of the right class, in radians.
        scale: of the cosines before the softmax.
        dropout: share of the channels of the frames that are dropped in training.

    Raises:
        ContractError: a size below 1, more than 64 blocks, or a margin, scale or dropout out of range.
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
            raise ContractError(f"channels is 1 or more and blocks 1 to {MOST_BLOCKS}, got {channels} and {blocks}")
        if not 0 <= dropout < 1:
            raise ContractError(f"dropout is a share in [0, 1), got {dropout}")
        self.enter = nn.Linear(frames.channels, channels)
        self.blocks = nn.ModuleList(ConvBlock(channels, 0, index) for index in range(blocks))
        self.dropout = nn.Dropout(dropout)
        pooled = FrameSpec(frames.sample_rate_hz, frames.hop_length, channels)
        self.head = SpeakerAAM(frames=pooled, num_speakers=num_speakers, width=width, margin=margin, scale=scale)
        self.embedding_width = width

    @property
    def num_speakers(self) -> int:  # type: ignore[override]
        """Of the classes."""
        return self.head.num_speakers

    def embed(self, frames: Frames) -> Tensor:
        """(B, T, C) -> (B, width), of length 1."""
        return self.head.embed(self._heard(frames))

    def logits(self, frames: Frames) -> Tensor:
        """Scaled cosines to the class centres: (B, num_speakers)."""
        return self.head.logits(self._heard(frames))

    def loss(self, frames: Frames, speakers: Tensor) -> Loss:
        """Cross-entropy with the angle of the right class enlarged by the margin; accuracy is without it."""
        return self.head.loss(self._heard(frames), speakers)

    def restart(self, num_speakers: int) -> None:
        """Put random centres in place of the old ones."""
        self.head.restart(num_speakers)

    def grow(self, num_speakers: int) -> None:
        """Add random centres for more speakers; the old ones stay as they are."""
        self.head.grow(num_speakers)

    def _heard(self, frames: Frames) -> Frames:
        mean, _ = frames.moments()
        level = mean.mean(dim=1)[:, None, None]
        hidden = frames.with_values(self.enter((frames.values - level).where(frames.mask(), 0)))
        for block in self.blocks:
            hidden = block(hidden)
        return hidden.with_values(self.dropout(hidden.values))
