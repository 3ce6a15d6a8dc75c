"""Objectives: terms of the loss that only training needs, and their own modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import nn

from vczoo.audio.frames import Frames
from vczoo.models.model import Model
from vczoo.models.model_freezing import ModelFreezing
from vczoo.models.recipe import read_recipe
from vczoo.models.training_settings import Training
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.modules.freezing.stages import Full
from vczoo.modules.heads.speaker import SpeakerClassifier
from vczoo.modules.interfaces.head import HeadBatch, Loss
from vczoo.training.distributed import DistributedContext
from vczoo.training.features.batch import Batch
from vczoo.training.features.segments import SegmentBatches
from vczoo.training.objectives.objective import Objective
from vczoo.training.objectives.recipe_objectives import Consistency, MelAdversary, Reversal, objectives_of
from vczoo.training.step import Step, train_step
from vczoo.training.trainable_model import TrainableModel


class Critic(Objective):
    """Learns to make content large, as a stand-in for a discriminator."""

    name = "critic"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 1)

    def forward(self, model: Model, batch: Batch, heads_batch: HeadBatch, losses: Mapping[str, Loss]) -> Loss:
        value = self.linear(heads_batch.content.values.detach()).square().mean()
        return Loss(value, {"size": value.detach()})


def model() -> Model:
    torch.manual_seed(0)
    backbone = MelConv(width=12, blocks=1)
    head = SpeakerClassifier(frames=backbone.spec, num_speakers=2, hidden=(6,), dropout=0.0)
    return Model(backbone, {"speaker": head}, {"speaker": 1.0}, None)


def batch(made: Model) -> Batch:
    generator = torch.Generator().manual_seed(1)
    content = Frames.of(torch.randn(2, 9, made.backbone.spec.channels, generator=generator).requires_grad_())
    return Batch(torch.tensor([0, 1]), content=content)


def gradient(made: Model, *objectives: Objective) -> torch.Tensor:
    given = batch(made)
    Step(made, objectives=objectives)(given).value.backward()
    assert given.content is not None
    assert given.content.values.grad is not None
    return given.content.values.grad


def test_a_recipe_has_the_objectives_that_it_asks_for() -> None:
    assert len(objectives_of(read_recipe("demo"))) == 0
    reverse, consistent = objectives_of(read_recipe("demo", ["heads.speaker.reverse=0.5", "training.consistency=2"]))
    assert isinstance(reverse, Reversal)
    assert reverse.strengths == {"speaker": 0.5}
    assert isinstance(consistent, Consistency)
    assert consistent.weight == 2


def test_reversal_turns_the_gradient_of_the_content_alone() -> None:
    made = model()
    plain = gradient(made)
    weights = {name: value.grad.clone() for name, value in made.heads.named_parameters() if value.grad is not None}
    made.zero_grad()
    torch.testing.assert_close(gradient(made, Reversal({"speaker": 0.5})), -0.5 * plain)
    for name, value in made.heads.named_parameters():
        torch.testing.assert_close(value.grad, weights[name])


def test_frozen_content_has_no_second_pass_to_compare_with() -> None:
    made = model()
    given = batch(made)
    assert Consistency(1.0)(made, given, given.for_heads(made, given.content), {}) is None


def test_an_objective_trains_modules_of_its_own_which_are_in_checkpoints_only() -> None:
    made, settings = model(), Training(learning_rate=0.01)
    objectives = nn.ModuleList([Critic(made.backbone.spec.channels)])
    before = objectives[0].linear.weight.clone()
    team = DistributedContext(torch.device("cpu"), "float32")
    splits = [cast(SegmentBatches, [None]) for _ in range(2)]
    training = TrainableModel(made, ModelFreezing(Full()), settings, *splits, team, objectives=objectives)
    (optimizer,) = training.optimizers.values()
    figures = train_step(Step(made, team, objectives), optimizer, batch(made), settings, team)
    assert {"loss", "speaker.loss", "critic.size"} <= set(figures)
    assert not torch.equal(objectives[0].linear.weight, before)
    assert "objectives.0.linear.weight" in training.modules.state_dict()
    assert not any("objectives" in name for name in (*training.weights.state_dict(), *made.tensors()))


def test_without_objectives_the_loss_is_that_of_the_heads() -> None:
    made = model()
    assert pytest.approx(float(Step(made)(batch(made)).value)) == float(
        made.loss(batch(made).for_heads(made, batch(made).content)).value
    )


def test_discriminators_join_late_and_each_side_gets_its_own_gradient() -> None:
    torch.manual_seed(0)
    made, adversary = model(), MelAdversary(0.1, 0.5, 0.5)
    target = Frames(torch.randn(2, 40, 80), torch.tensor([40, 31]))
    decoded = Frames(torch.randn(2, 40, 80, requires_grad=True), target.lengths)
    heads_batch = replace(batch(made).for_heads(made, batch(made).content), target=target)
    losses = {"voice": Loss(torch.zeros(()), {}, decoded)}
    assert adversary(made, batch(made), heads_batch, losses) is None
    adversary.progress = 0.5
    assert adversary(made, batch(made), heads_batch, {"voice": Loss(torch.zeros(()), {})}) is None
    own, fooled, distance = adversary.discriminators(decoded, target)
    own.backward()
    assert decoded.values.grad is None
    assert all(value.grad is not None for value in adversary.parameters())
    adversary.zero_grad()
    (fooled + distance).backward()
    assert decoded.values.grad is not None
    assert bool((decoded.values.grad[0] != 0).any())
    assert not bool((decoded.values.grad[1, 31:] != 0).any())  # padding
    assert all(value.grad is None for value in adversary.parameters())
    term = adversary(made, batch(made), heads_batch, losses)
    assert float(term.value.detach()) == pytest.approx(float((own + 0.1 * fooled + 0.5 * distance).detach()))
