"""Label head: frames in, which of some labels the utterance has, out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.interfaces.heads import LabelHead, Loss

__all__ = ["Classifier"]


class Classifier(LabelHead):
    """A linear layer on mean and deviation of the frames in time: emotion, language, or what else an utterance is.

    Args:
        frames: what the backbone makes; the input width is twice its channels.
        labels: in the order of the logits.
        dropout: share of the input dropped in training.

    Raises:
        ContractError: no label, one twice, or a dropout outside [0, 1).
    """

    def __init__(self, *, frames: FrameSpec, labels: Sequence[str], dropout: float = 0.2) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ContractError(f"dropout is a share in [0, 1), got {dropout}")
        self.labels = _different(labels)
        self.norm = nn.LayerNorm(2 * frames.channels)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * frames.channels, len(self.labels))

    def logits(self, frames: Frames) -> Tensor:
        """(B, T, C) -> (B, len(labels))."""
        logits: Tensor = self.output(self.dropout(self.norm(frames.pool())))
        return logits

    def loss(self, frames: Frames, labels: Tensor) -> Loss:
        """Cross-entropy, with accuracy beside it."""
        logits = self.logits(frames)
        return Loss(F.cross_entropy(logits, labels), {"accuracy": (logits.argmax(dim=1) == labels).float().mean()})

    def relabel(self, labels: Sequence[str]) -> None:
        """Put rows for these labels in place of the old ones; a label that stays keeps its row."""
        old, known = self.output, {label: row for row, label in enumerate(self.labels)}
        self.labels = _different(labels)
        self.output = nn.Linear(old.in_features, len(self.labels), device=old.weight.device, dtype=old.weight.dtype)
        with torch.no_grad():
            for row, label in enumerate(self.labels):
                if label in known:
                    self.output.weight[row] = old.weight[known[label]]
                    self.output.bias[row] = old.bias[known[label]]


def _different(labels: Sequence[str]) -> tuple[str, ...]:
    if not labels or len(set(labels)) < len(labels):
        raise ContractError(f"labels are at least one, each once, got {list(labels)[:20]}")
    return tuple(labels)
