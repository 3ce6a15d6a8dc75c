"""Objectives: terms of the training loss besides those of the heads, which only training needs.

`objectives_of` makes those that a recipe asks for. The model knows nothing of them, and a run does not contain them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from vczoo.models.model import Model
from vczoo.models.model_freezing import ModelFreezing
from vczoo.models.recipe import Recipe
from vczoo.modules.interfaces.head import HeadBatch, Loss
from vczoo.modules.nn.convnext import mean_absolute_error
from vczoo.modules.nn.gradient_reversal import GradientReversal
from vczoo.training.features.batch import Batch, content_of
from vczoo.training.objectives.conversion_consistency import ConversionConsistency
from vczoo.training.objectives.mel_adversary import MelDiscriminators
from vczoo.training.objectives.objective import Objective
from vczoo.training.objectives.recognizer import Recognizer

__all__ = ["Consistency", "MelAdversary", "Objective", "Reversal", "StrategyPenalty", "objectives_of"]


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

    def forward(self, model: Model, batch: Batch, heads_batch: HeadBatch, losses: Mapping[str, Loss]) -> Loss | None:
        """Run the backbone again and compare. None if the backbone is frozen in this epoch."""
        if batch.content is not None:
            return None
        distance = mean_absolute_error(heads_batch.content, content_of(model, batch))
        return Loss(self.weight * distance, {"l1": distance.detach()})


class MelAdversary(Objective):
    """Adversarial loss of a voice head that decodes mels, and feature matching, arXiv:1910.06711.

    Args:
        weight: Weight of the adversarial loss.
        feature_weight: Weight of the feature matching loss.
        starts_at: Share of the training's steps after which the discriminators join.
    """

    name = "adversarial"

    def __init__(self, weight: float, feature_weight: float, starts_at: float) -> None:
        super().__init__()
        self.weight, self.feature_weight, self.starts_at = weight, feature_weight, starts_at
        self.discriminators = MelDiscriminators()

    def forward(self, model: Model, batch: Batch, heads_batch: HeadBatch, losses: Mapping[str, Loss]) -> Loss | None:
        """Judge the frames of the first voice head that predicts some."""
        predicted = next((loss.predicted for loss in losses.values() if loss.predicted is not None), None)
        if self.progress < self.starts_at or predicted is None or heads_batch.target is None:
            return None
        own, fooled, distance = self.discriminators(predicted, heads_batch.target)
        value = own + self.weight * fooled + self.feature_weight * distance
        figures = {"discriminators": own, "decoder": fooled, "features": distance}
        return Loss(value, {name: figure.detach() for name, figure in figures.items()})


class StrategyPenalty(Objective):
    """The terms of the loss that freezing strategies add, such as the pull of L2-SP to the weights at the start.

    Args:
        freezing: The strategies.
    """

    name = "freezing"

    def __init__(self, freezing: ModelFreezing) -> None:
        super().__init__()
        self.freezing = freezing

    def forward(self, model: Model, batch: Batch, heads_batch: HeadBatch, losses: Mapping[str, Loss]) -> Loss | None:
        """Return the sum of the strategies' terms."""
        penalty = self.freezing.penalty(model)
        return None if penalty is None else Loss(penalty, {"penalty": penalty.detach()})


def objectives_of(recipe: Recipe, freezing: ModelFreezing | None = None) -> nn.ModuleList:
    """Make the objectives that a recipe's `heads.<name>.reverse`, `training` and freezing strategies ask for.

    Args:
        recipe: The recipe.
        freezing: Its freezing strategies, which may add terms; None for none.
    """
    settings = recipe.training
    strengths = {name: head.reverse for name, head in recipe.heads.items() if head.reverse}
    objectives: list[Objective] = [Reversal(strengths)] if strengths else []
    if settings.consistency:
        objectives.append(Consistency(settings.consistency))
    if settings.converted_content_weight or settings.converted_speaker_weight or settings.recognizer:
        objectives.append(
            ConversionConsistency(
                settings.converted_content_weight,
                settings.converted_speaker_weight,
                Recognizer(settings.recognizer) if settings.recognizer else None,
                settings.recognizer_weight,
            )
        )
    if settings.adversarial_weight:
        objectives.append(MelAdversary(settings.adversarial_weight, settings.feature_weight, settings.adversarial_from))
    if freezing and freezing.penalizes:
        objectives.append(StrategyPenalty(freezing))
    return nn.ModuleList(objectives)
