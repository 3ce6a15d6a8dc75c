"""AutoFreeze: what freezes, by worked numbers, and what a resumed training takes over."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vczoo.errors import ContractError
from vczoo.models.training_settings import Training
from vczoo.modules.freezing.apply import OneStage
from vczoo.modules.freezing.auto_freeze import AutoFreeze
from vczoo.modules.interfaces.freezing import HoldsFrozen, Stage
from vczoo.testing import check_freezing
from vczoo.training.setup import check_average


class Part:
    """Four stages with one parameter each."""

    def __init__(self) -> None:
        self.modules = [nn.Linear(1, 1, bias=False) for _ in range(4)]

    def stages(self) -> tuple[Stage, ...]:
        return tuple(Stage(str(index), module) for index, module in enumerate(self.modules))

    def hold(self, frozen: object) -> None:
        pass

    def epoch(self, gradients: list[float]) -> None:
        for module, gradient in zip(self.modules, gradients, strict=True):
            (module.weight * gradient).sum().backward()


def test_stages_freeze_from_the_first_on_as_they_settle() -> None:
    part, strategy = Part(), AutoFreeze(percentile=50)
    strategy.bind(part)
    strategy.prepare(part)
    strategy.start_epoch(0)
    part.epoch([1.0, 1.0, 1.0, 1.0])
    strategy.start_epoch(1)  # there is nothing to compare with yet
    assert strategy.multipliers(4, 1) == (1, 1, 1, 1)
    part.epoch([1.1, 1.5, 1.2, 2.0])  # changes of 0.1, 0.5, 0.2 and 1; half of them are up to 0.35
    strategy.start_epoch(2)
    assert strategy.multipliers(4, 2) == (0, 1, 1, 1)
    strategy.start_epoch(2)  # resumed
    assert strategy.multipliers(4, 2) == (0, 1, 1, 1)
    part.epoch([0.0, 1.5, 1.2, 1.0])  # the second and third did not change
    strategy.start_epoch(3)
    assert strategy.multipliers(4, 3) == (0, 0, 0, 1)
    part.epoch([0.0, 0.0, 0.0, 1.0])
    strategy.start_epoch(4)
    assert strategy.multipliers(4, 4) == (0, 0, 0, 1)  # the last stage always trains
    strategy.finish(part)
    assert not any(module.weight._backward_hooks for module in part.modules)


def test_a_checkpoint_has_what_was_decided() -> None:
    part, strategy, resumed = Part(), AutoFreeze(), AutoFreeze()
    for each in (strategy, resumed):
        each.prepare(part)
    assert strategy.state is not None
    assert resumed.state is not None
    strategy.state.frozen.fill_(2)
    resumed.state.load_state_dict(strategy.state.state_dict())
    assert resumed.multipliers(4, 3) == (0, 0, 1, 1)


def test_conformance() -> None:
    check_freezing(AutoFreeze())


@pytest.mark.parametrize("percentile", [0, 100, math.nan])
def test_percentiles_out_of_range(percentile: float) -> None:
    with pytest.raises(ContractError, match="percentile must be above 0 and below 100, got"):
        AutoFreeze(percentile)


def test_what_it_is_not_for() -> None:
    with pytest.raises(ContractError, match="but this part is one stage"):
        AutoFreeze().bind(OneStage("voice", HoldsFrozen()))
    with pytest.raises(ContractError, match=r"AutoFreeze does; leave training\.average at 0"):
        check_average(torch.nn.Module(), AutoFreeze(), Training(average=0.9))  # type: ignore[arg-type]
