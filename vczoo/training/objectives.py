"""Objectives: terms of the training loss besides those of the heads, which only training needs.

`objectives_of` makes those that a recipe asks for. The model knows nothing of them, and a run does not contain them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from vczoo.models.model import Model
from vczoo.models.recipe import Recipe
from vczoo.modules.interfaces.head import HeadBatch, Loss
from vczoo.modules.nn.convnext import mean_absolute_error
from vczoo.modules.nn.gradient_reversal import GradientReversal
from vczoo.training.batch import Batch, content_of

__all__ = ["Consistency", "Objective", "Reversal", "objectives_of"]


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
    """

    name: str = ""

    def head_batch(self, name: str, batch: HeadBatch) -> HeadBatch:
        """Return what a head reads in place of a batch; by default the batch itself.

        Args:
            name: Name of the head.
            batch: The batch as the head would read it.
        """
        return batch

    def forward(self, model: Model, batch: Batch, heads_batch: HeadBatch) -> Loss | None:
        """Return the weighted term that is added to the loss, with its figures; None for no term in this batch.

        Args:
            model: The model that trains.
            batch: The segments as they were loaded, from which `content_of` computes content again.
            heads_batch: The same segments as the heads read them: content, pitch, targets and speaker embeddings.
        """
        return None


class Reversal(Objective):
    """Gradient reversal between heads and the backbone, arXiv:1505.07818: the backbone unlearns what they predict.

    Args:
        strengths: By head name, the factor whose negative multiplies the gradient of the head's input.
    """

    name = "reversal"

    def __init__(self, strengths: Mapping[str, float]) -> None:
        super().__init__()
        self.strengths = dict(strengths)

    def head_batch(self, name: str, batch: HeadBatch) -> HeadBatch:
        """Return the batch with content whose gradient is reversed, for the heads that have a strength."""
        if name not in self.strengths:
            return batch
        values = GradientReversal.apply(batch.content.values, self.strengths[name])  # type: ignore[no-untyped-call]
        return replace(batch, content=batch.content.with_values(values))


class Consistency(Objective):
    """Distance between the contents of two passes over the same segments (Pi-model, Laine and Aila, arXiv:1610.02242).

    Args:
        weight: Weight of the mean absolute difference.
    """

    name = "consistency"

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, model: Model, batch: Batch, heads_batch: HeadBatch) -> Loss | None:
        """Run the backbone again and compare. None if the backbone is frozen in this epoch."""
        if batch.content is not None:
            return None
        distance = mean_absolute_error(heads_batch.content, content_of(model, batch))
        return Loss(self.weight * distance, {"l1": distance.detach()})


def objectives_of(recipe: Recipe) -> nn.ModuleList:
    """Make the objectives of a recipe: `heads.<name>.reverse` and `training.consistency`."""
    strengths = {name: head.reverse for name, head in recipe.heads.items() if head.reverse}
    objectives: list[Objective] = [Reversal(strengths)] if strengths else []
    if recipe.training.consistency:
        objectives.append(Consistency(recipe.training.consistency))
    return nn.ModuleList(objectives)
