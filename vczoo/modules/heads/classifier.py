"""Label head that classifies utterances, for example by emotion or language."""

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
    """Linear classifier over the mean and standard deviation of the frames in time.

    Args:
        frames: Format of the backbone's frames. The linear layer has twice as many inputs as they have channels.
        labels: The labels, in the order of the logits.
        dropout: Share of the inputs that is dropped in training.

    Raises:
        ContractError: There is no label, a label is repeated, or the dropout is outside [0, 1).
    """

    def __init__(self, *, frames: FrameSpec, labels: Sequence[str], dropout: float = 0.2) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ContractError(f"dropout must be in [0, 1), got {dropout}")
        self.labels = _unique(labels)
        self.norm = nn.LayerNorm(2 * frames.channels)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * frames.channels, len(self.labels))

    def logits(self, frames: Frames) -> Tensor:
        """Return the logits of the labels: (B, T, C) -> (B, len(labels))."""
        logits: Tensor = self.output(self.dropout(self.norm(frames.pool())))
        return logits

    def loss(self, frames: Frames, labels: Tensor) -> Loss:
        """Return the cross-entropy against label indices (B,), and the accuracy as a metric."""
        logits = self.logits(frames)
        return Loss(F.cross_entropy(logits, labels), {"accuracy": (logits.argmax(dim=1) == labels).float().mean()})

    def relabel(self, labels: Sequence[str]) -> None:
        """Replace the labels. Labels that stay keep their weights; new labels get random weights."""
        old, old_rows = self.output, {label: row for row, label in enumerate(self.labels)}
        self.labels = _unique(labels)
        self.output = nn.Linear(old.in_features, len(self.labels), device=old.weight.device, dtype=old.weight.dtype)
        with torch.no_grad():
            for row, label in enumerate(self.labels):
                if label in old_rows:
                    self.output.weight[row] = old.weight[old_rows[label]]
                    self.output.bias[row] = old.bias[old_rows[label]]


def _unique(labels: Sequence[str]) -> tuple[str, ...]:
    if not labels or len(set(labels)) < len(labels):
        raise ContractError(f"labels must be one or more names without repetition, got {list(labels)[:20]}")
    return tuple(labels)
