"""Distillation head, with which a small backbone learns from the frames of a teacher."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.interfaces.heads import FrameHead, Loss
from vczoo.modules.nn.convnext import mean_absolute_error

__all__ = ["Distil"]


class Distil(FrameHead):
    """Linear prediction of the teacher's frames.

    The loss is the mean absolute error plus a cosine distance, as in DistilHuBERT (arXiv:2110.01900). The teacher's
    frames of different speakers differ mostly in the mean and standard deviation of each channel. The loss normalizes
    both away, so that the backbone need not learn the speaker.

    Args:
        frames: Format of the backbone's frames.
        channels: Number of channels of the teacher's frames.
        cosine_weight: Weight of the cosine distance, 1 - cosine, relative to the mean absolute error.

    Raises:
        ContractError: `channels` is below 1, or the weight is negative.
    """

    def __init__(self, *, frames: FrameSpec, channels: int = 384, cosine_weight: float = 1.0) -> None:
        super().__init__()
        if channels < 1 or cosine_weight < 0:
            raise ContractError(
                f"channels must be 1 or more and cosine_weight 0 or more, got {channels} and {cosine_weight}"
            )
        self.channels, self.cosine_weight = channels, cosine_weight
        self.predict = nn.Linear(frames.channels, channels)

    def frames(self, content: Frames) -> Frames:
        """Predict the teacher's frames: (B, T, C) -> (B, T, channels)."""
        return content.with_values(self.predict(content.values.where(content.mask(), 0)))

    def loss(self, content: Frames, teacher_frames: Frames) -> Loss:
        """Return the loss against the teacher's frames (B, T, channels), which are first normalized over time."""
        predicted, teacher_frames = self.frames(content), teacher_frames.normalise()
        teacher_frames = teacher_frames.cut(teacher_frames.longest)
        predicted = predicted.cut(teacher_frames.longest)
        mask = teacher_frames.mask()
        predicted = predicted.with_values(predicted.values.where(mask, 0))
        cosine = F.cosine_similarity(predicted.values, teacher_frames.values.where(mask, 0), dim=2)
        similarity: Tensor = cosine.where(mask[..., 0], 0).sum() / mask.sum()
        error = mean_absolute_error(predicted, teacher_frames)
        return Loss(error + self.cosine_weight * (1 - similarity), {"cosine": similarity.detach()})
