"""`Distil`: frames of a small backbone in, those of its teacher out: a head that makes the one learn from the other."""

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
    """One linear layer to the teacher's channels; mean absolute error and cosine, as DistilHuBERT (arXiv:2110.01900).

    What the teacher hears differs by the speaker in mean and deviation of its channels above all: both are taken away,
    so that nothing of it need be learnt.

    Args:
        frames: what the backbone makes.
        channels: of the teacher.
        cosine_weight: of 1 - cosine, beside the mean absolute error.

    Raises:
        ContractError: channels below 1, or a negative weight.
    """

    def __init__(self, *, frames: FrameSpec, channels: int = 384, cosine_weight: float = 1.0) -> None:
        super().__init__()
        if channels < 1 or cosine_weight < 0:
            raise ContractError(
                f"channels is 1 or more and cosine_weight 0 or more, got {channels} and {cosine_weight}"
            )
        self.channels, self.cosine_weight = channels, cosine_weight
        self.predict = nn.Linear(frames.channels, channels)

    def frames(self, content: Frames) -> Frames:
        """(B, T, C) -> (B, T, channels)."""
        return content.with_values(self.predict(content.values.where(content.mask(), 0)))

    def loss(self, content: Frames, teacher_frames: Frames) -> Loss:
        """Against the teacher's frames, normalised over time."""
        made, teacher_frames = self.frames(content), teacher_frames.normalise()
        teacher_frames = teacher_frames.cut(teacher_frames.longest)
        made = made.cut(teacher_frames.longest)
        mask = teacher_frames.mask()
        made = made.with_values(made.values.where(mask, 0))
        cosine = F.cosine_similarity(made.values, teacher_frames.values.where(mask, 0), dim=2)
        alike: Tensor = cosine.where(mask[..., 0], 0).sum() / mask.sum()
        error = mean_absolute_error(made, teacher_frames)
        return Loss(error + self.cosine_weight * (1 - alike), {"cosine": alike.detach()})
