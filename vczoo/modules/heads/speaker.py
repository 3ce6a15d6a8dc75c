"""Speaker heads: frames in, a speaker embedding and logits out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.interfaces.heads import Loss, SpeakerHead

__all__ = ["SpeakerAAM", "SpeakerClassifier"]

MOST_LAYERS = 64


class SpeakerClassifier(SpeakerHead):
    """MLP over mean and deviation of the frames in time; its last hidden layer is the speaker embedding.

    The embedding is taken before the last ReLU, so that it can point in every direction.

    Args:
        frames: what the backbone makes; the input width is twice its channels.
        num_speakers: width of the output.
        hidden: widths of the hidden layers.
        dropout: share of units dropped after each hidden layer in training.

    Raises:
        ContractError: no hidden layer or more than 64, or a dropout outside [0, 1).
    """

    def __init__(
        self, *, frames: FrameSpec, num_speakers: int, hidden: Sequence[int] = (1024, 512), dropout: float = 0.5
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise ContractError(f"hidden needs at least one width of 1 or more, got {list(hidden)[:20]}")
        if len(hidden) > MOST_LAYERS:
            raise ContractError(f"hidden has at most {MOST_LAYERS} widths, got {len(hidden)}")
        if not 0 <= dropout < 1:
            raise ContractError(f"dropout is a share in [0, 1), got {dropout}")
        widths = (2 * frames.channels, *hidden)
        layers: list[nn.Module] = [nn.LayerNorm(widths[0])]
        for index, (before, after) in enumerate(itertools.pairwise(widths)):
            if index:
                layers += [nn.ReLU(), nn.Dropout(dropout)]
            layers.append(nn.Linear(before, after))
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden[-1], num_speakers)
        self.embedding_width, self.num_speakers = hidden[-1], num_speakers

    def embed(self, frames: Frames) -> Tensor:
        """(B, T, C) -> (B, hidden[-1]), of length 1."""
        return F.normalize(self.body(frames.pool()), dim=1)

    def logits(self, frames: Frames) -> Tensor:
        """(B, T, C) -> (B, num_speakers)."""
        logits: Tensor = self.output(self.dropout(F.relu(self.body(frames.pool()))))
        return logits

    def loss(self, frames: Frames, speakers: Tensor) -> Loss:
        """Cross-entropy, with accuracy beside it."""
        logits = self.logits(frames)
        return Loss(F.cross_entropy(logits, speakers), {"accuracy": _accuracy(logits, speakers)})

    def restart(self, num_speakers: int) -> None:
        """Put a fresh output layer in place of the old one."""
        old = self.output
        self.output = nn.Linear(old.in_features, num_speakers, device=old.weight.device, dtype=old.weight.dtype)
        self.num_speakers = num_speakers

    def grow(self, num_speakers: int) -> None:
        """Add rows for more speakers; the old rows stay as they are."""
        old, known = self.output, self.num_speakers
        self.restart(num_speakers)
        with torch.no_grad():
            self.output.weight[:known] = old.weight
            self.output.bias[:known] = old.bias


class SpeakerAAM(SpeakerHead):
    """A linear embedding of the pooled frames, trained with additive angular margin softmax.

    Source: ArcFace, arXiv:1801.07698.

    Args:
        frames: what the backbone makes; the input width is twice its channels.
        num_speakers: number of class centres.
        width: of the embedding.
        margin: added to the angle of the right class, in radians.
        scale: of the cosines before the softmax.

    Raises:
        ContractError: a margin outside [0, pi / 2), a scale that is not positive, or a width below 1.
    """

    def __init__(
        self,
        *,
        frames: FrameSpec,
        num_speakers: int,
        width: int = 256,
        margin: float = 0.2,
        scale: float = 30.0,
    ) -> None:
        super().__init__()
        if not 0 <= margin < math.pi / 2:
            raise ContractError(f"margin is an angle in [0, pi / 2) radians, got {margin}")
        if not scale > 0:
            raise ContractError(f"scale is above 0, got {scale}")
        if width < 1:
            raise ContractError(f"width is 1 or more, got {width}")
        self.body = nn.Sequential(nn.LayerNorm(2 * frames.channels), nn.Linear(2 * frames.channels, width))
        self.centres = nn.Parameter(F.normalize(torch.randn(num_speakers, width), dim=1))
        self.margin, self.scale = margin, scale
        self.embedding_width, self.num_speakers = width, num_speakers

    def embed(self, frames: Frames) -> Tensor:
        """(B, T, C) -> (B, width), of length 1."""
        return F.normalize(self.body(frames.pool()), dim=1)

    def logits(self, frames: Frames) -> Tensor:
        """Scaled cosines to the class centres: (B, num_speakers)."""
        embedding = self.embed(frames)
        with torch.autocast(embedding.device.type, enabled=False):  # half precision would round the margin away
            return self.scale * embedding.float() @ F.normalize(self.centres.float(), dim=1).T

    def loss(self, frames: Frames, speakers: Tensor) -> Loss:
        """Cross-entropy with the angle of the right class enlarged by the margin; accuracy is without it."""
        logits = self.logits(frames)
        cosine = (logits / self.scale).clamp(-1 + 1e-7, 1 - 1e-7)
        angle = torch.acos(cosine)
        # Past pi - margin, cos(angle + margin) would rise again; there the penalty goes on as a straight line.
        widened = torch.where(
            angle < math.pi - self.margin, torch.cos(angle + self.margin), cosine - self.margin * math.sin(self.margin)
        )
        right = F.one_hot(speakers, self.num_speakers).bool()
        loss = F.cross_entropy(self.scale * torch.where(right, widened, cosine), speakers)
        return Loss(loss, {"accuracy": _accuracy(logits, speakers)})

    def restart(self, num_speakers: int) -> None:
        """Put random centres in place of the old ones."""
        new = torch.randn(num_speakers, self.embedding_width, device=self.centres.device)
        self.centres = nn.Parameter(F.normalize(new, dim=1))
        self.num_speakers = num_speakers

    def grow(self, num_speakers: int) -> None:
        """Add random centres for more speakers; the old ones stay as they are."""
        old = self.centres.detach()
        self.restart(num_speakers - self.num_speakers)
        self.centres = nn.Parameter(torch.cat([old, self.centres.detach()]))
        self.num_speakers = num_speakers


def _accuracy(logits: Tensor, speakers: Tensor) -> Tensor:
    return (logits.argmax(dim=1) == speakers).float().mean()
