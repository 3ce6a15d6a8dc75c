"""Speaker heads over pooled frames: an MLP classifier, and a linear embedding with additive angular margin."""

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
    """MLP classifier over the mean and standard deviation of the frames in time.

    The speaker embedding is the output of the last hidden layer before its ReLU, so that it can point in every
    direction.

    Args:
        frames: Format of the backbone's frames. The MLP has twice as many inputs as they have channels.
        num_speakers: Number of speakers, which is the width of the output.
        hidden: Widths of the hidden layers.
        dropout: Share of the units that is dropped after each hidden layer in training.

    Raises:
        ContractError: There is no hidden layer, there are more than 64, a width is below 1, or the dropout is outside
            [0, 1).
    """

    def __init__(
        self, *, frames: FrameSpec, num_speakers: int, hidden: Sequence[int] = (1024, 512), dropout: float = 0.5
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise ContractError(f"hidden must have at least one width, each 1 or more; got {list(hidden)[:20]}")
        if len(hidden) > MOST_LAYERS:
            raise ContractError(f"hidden must have at most {MOST_LAYERS} widths, got {len(hidden)}")
        if not 0 <= dropout < 1:
            raise ContractError(f"dropout must be in [0, 1), got {dropout}")
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
        """Return embeddings of length 1: (B, T, C) -> (B, hidden[-1])."""
        return F.normalize(self.body(frames.pool()), dim=1)

    def logits(self, frames: Frames) -> Tensor:
        """Return the logits of the speakers: (B, T, C) -> (B, num_speakers)."""
        logits: Tensor = self.output(self.dropout(F.relu(self.body(frames.pool()))))
        return logits

    def loss(self, frames: Frames, speakers: Tensor) -> Loss:
        """Return the cross-entropy against speaker indices (B,), and the accuracy as a metric."""
        logits = self.logits(frames)
        return Loss(F.cross_entropy(logits, speakers), {"accuracy": _accuracy(logits, speakers)})

    def restart(self, num_speakers: int) -> None:
        """Replace the output layer by a random one for `num_speakers` speakers."""
        old = self.output
        self.output = nn.Linear(old.in_features, num_speakers, device=old.weight.device, dtype=old.weight.dtype)
        self.num_speakers = num_speakers

    def grow(self, num_speakers: int) -> None:
        """Add random rows to the output layer until there are `num_speakers`. The old rows do not change."""
        old, old_count = self.output, self.num_speakers
        self.restart(num_speakers)
        with torch.no_grad():
            self.output.weight[:old_count] = old.weight
            self.output.bias[:old_count] = old.bias


class SpeakerAAM(SpeakerHead):
    """Linear embedding of the pooled frames, trained with additive angular margin softmax.

    Source: ArcFace, arXiv:1801.07698.

    Args:
        frames: Format of the backbone's frames. The linear layer has twice as many inputs as they have channels.
        num_speakers: Number of speakers, which is the number of class centers.
        width: Number of channels of the embedding.
        margin: Angle in radians that is added to the angle of the correct class in the loss.
        scale: Factor of the cosines before the softmax.

    Raises:
        ContractError: The margin is outside [0, pi / 2), the scale is not positive, or the width is below 1.
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
            raise ContractError(f"margin must be an angle in [0, pi / 2) radians, got {margin}")
        if not scale > 0:
            raise ContractError(f"scale must be above 0, got {scale}")
        if width < 1:
            raise ContractError(f"width must be 1 or more, got {width}")
        self.body = nn.Sequential(nn.LayerNorm(2 * frames.channels), nn.Linear(2 * frames.channels, width))
        self.centres = nn.Parameter(F.normalize(torch.randn(num_speakers, width), dim=1))
        self.margin, self.scale = margin, scale
        self.embedding_width, self.num_speakers = width, num_speakers

    def embed(self, frames: Frames) -> Tensor:
        """Return embeddings of length 1: (B, T, C) -> (B, width)."""
        return F.normalize(self.body(frames.pool()), dim=1)

    def logits(self, frames: Frames) -> Tensor:
        """Return the scaled cosines to the class centers: (B, T, C) -> (B, num_speakers)."""
        embedding = self.embed(frames)
        with torch.autocast(embedding.device.type, enabled=False):  # half precision would round the margin away
            return self.scale * embedding.float() @ F.normalize(self.centres.float(), dim=1).T

    def loss(self, frames: Frames, speakers: Tensor) -> Loss:
        """Return the cross-entropy, with the margin added to the angle of the correct class.

        The metric `accuracy` is computed without the margin.
        """
        logits = self.logits(frames)
        cosine = (logits / self.scale).clamp(-1 + 1e-7, 1 - 1e-7)
        angle = torch.acos(cosine)
        # Above pi - margin, cos(angle + margin) would rise again. There, the cosine is reduced by a constant instead.
        widened = torch.where(
            angle < math.pi - self.margin, torch.cos(angle + self.margin), cosine - self.margin * math.sin(self.margin)
        )
        right = F.one_hot(speakers, self.num_speakers).bool()
        loss = F.cross_entropy(self.scale * torch.where(right, widened, cosine), speakers)
        return Loss(loss, {"accuracy": _accuracy(logits, speakers)})

    def restart(self, num_speakers: int) -> None:
        """Replace the class centers by random ones for `num_speakers` speakers."""
        new = torch.randn(num_speakers, self.embedding_width, device=self.centres.device)
        self.centres = nn.Parameter(F.normalize(new, dim=1))
        self.num_speakers = num_speakers

    def grow(self, num_speakers: int) -> None:
        """Add random class centers until there are `num_speakers`. The old centers do not change."""
        old = self.centres.detach()
        self.restart(num_speakers - self.num_speakers)
        self.centres = nn.Parameter(torch.cat([old, self.centres.detach()]))
        self.num_speakers = num_speakers


def _accuracy(logits: Tensor, speakers: Tensor) -> Tensor:
    return (logits.argmax(dim=1) == speakers).float().mean()
