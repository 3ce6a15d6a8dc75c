"""Fine-tuning as a trainable: modules that only training uses, and strategies that an average does not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import vczoo
from vczoo.errors import ContractError
from vczoo.models.build import build_freezing, checked_recipe
from vczoo.models.training_settings import Training
from vczoo.modules.freezing.stages import Gradual
from vczoo.modules.interfaces.backbone import Freezing
from vczoo.training.objectives.objective import Objective
from vczoo.training.session import TrainingSession
from vczoo.training.setup import check_average
from vczoo.training.trainable_model import TrainableModel


class Critic(Objective):
    """An objective with a module of its own, which has no term."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)


def test_modules_of_objectives_are_optimized_and_checkpointed_but_are_no_result(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    overrides = [*small, "training.epochs=1"]
    with TrainingSession.open("demo", voices_folder, overrides, cache=False, device="cpu") as session:
        objectives = torch.nn.ModuleList([Critic()])

        def fit(folder: Path, objectives: torch.nn.ModuleList) -> TrainableModel:
            splits = session.splits
            trainable = TrainableModel(
                session.model,
                session.freezing,
                session.settings,
                splits["train"],
                splits["validation"],
                session.team,
                objectives=objectives,
            )
            vczoo.Trainer(trainable, folder, [vczoo.Selection()], team=session.team).fit()
            return trainable

        trainable = fit(tmp_path / "first", objectives)
        (optimizer,) = trainable.optimizers.values()
        assert optimizer.param_groups[-1]["params"][-1] is objectives[0].linear.bias
        names = load_file(tmp_path / "first" / "checkpoint.safetensors").keys()
        assert {"modules.objectives.0.linear.weight", "modules.objectives.0.linear.bias"} <= names
        assert not any(name.startswith("kept.objectives") for name in names)
        shutil.copytree(tmp_path / "first", tmp_path / "again")
        other = torch.nn.ModuleList([Critic()])
        fit(tmp_path / "again", other)
        assert torch.equal(other[0].linear.weight, objectives[0].linear.weight)


def test_an_average_is_refused_if_a_stage_is_frozen_again() -> None:
    class Alternating(Freezing):
        def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
            return tuple(float(index % 2 == epoch % 2) for index in range(num_stages))

    model = vczoo.load("demo").model
    backbone = model.backbone
    check_average(backbone, Alternating(), Training(epochs=4))
    check_average(backbone, Gradual(), Training(epochs=4, average=0.9))
    check_average(backbone, build_freezing(checked_recipe("demo"), model).backbone, Training(epochs=4, average=0.9))
    with pytest.raises(ContractError, match=r"Alternating freezes .* again in epoch 1; leave training\.average at 0"):
        check_average(backbone, Alternating(), Training(epochs=4, average=0.9))
