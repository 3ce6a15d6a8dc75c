"""Interface of an objective, a term of the training loss besides those of the heads."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from vczoo.models.model import Model
from vczoo.modules.interfaces.head import HeadBatch, Loss
from vczoo.training.features.batch import Batch

__all__ = ["Objective"]


class Objective(nn.Module):
    """A term of the training loss besides those of the heads. A subclass overrides `head_batch`, `forward` or both.

    `Step` calls `head_batch` of all objectives before each head's loss, and `forward` after all heads. Validation calls
    neither.

    An objective may own modules, such as the discriminators of an adversarial loss. Assign them as attributes: their
    parameters then train at the learning rate of the heads, in the same backward pass and optimizer step, with a
    gradient norm that is clipped apart from the model's. They are in checkpoints, under `objectives`, and never in a
    run. Two rules follow from the single backward pass:

    - To train own modules against the model, add both losses to the value. Compute that of the own modules from
      detached outputs of the model. Compute that of the model while the own parameters have `requires_grad` off, so
      that its gradient passes through them and reaches only the model.
    - An objective must not keep a reference to the model in an attribute, since it would become one of its modules.

    Attributes:
        name: Prefix of the figures, as in `consistency.l1`.
        progress: Share of the training's steps that are done, which is set before each step.
    """

    name: str = ""
    progress: float = 0.0

    def head_batch(self, name: str, batch: HeadBatch) -> HeadBatch:
        """Return what a head reads in place of a batch; by default the batch itself.

        Args:
            name: Name of the head.
            batch: The batch as the head would read it.
        """
        return batch

    def forward(self, model: Model, batch: Batch, heads_batch: HeadBatch, losses: Mapping[str, Loss]) -> Loss | None:
        """Return the weighted term that is added to the loss, with its figures; None for no term in this batch.

        Args:
            model: The model that trains.
            batch: The segments as they were loaded, from which `content_of` computes content again.
            heads_batch: The same segments as the heads read them: content, pitch, targets and speaker embeddings.
            losses: The loss of each head, by name, with the frames that a voice head predicted.
        """
        return None
