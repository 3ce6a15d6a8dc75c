"""Characteristic-specific tuning: the weights first, then the two layers that they choose, and nothing else."""

from __future__ import annotations

import pytest
import torch

from tests.unit.modules.backbones.test_layer_mix import Samples, waveform
from vczoo.errors import ContractError, RecipeError
from vczoo.models.build import checked_recipe
from vczoo.modules.backbones.layer_mix import LayerMix
from vczoo.modules.freezing.apply import apply_freezing
from vczoo.modules.freezing.characteristic import CharacteristicSpecific
from vczoo.testing import check_freezing


def step(mix: LayerMix) -> dict[str, float]:
    """Train one step, and return how far each parameter moved."""
    before = {name: value.detach().clone() for name, value in mix.named_parameters()}
    trained = [value for value in mix.parameters() if value.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    mix(waveform()).values.square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return {name: float((value.detach() - before[name]).abs().max()) for name, value in mix.named_parameters()}


def test_only_the_weights_then_only_two_layers_move() -> None:
    mix, strategy = LayerMix(Samples((1.0, 2.0, 3.0, 1.0))), CharacteristicSpecific(probe_epochs=1)
    strategy.bind(mix)
    assert strategy.multipliers(5, 0) == (0, 0, 0, 0, 1)
    assert strategy.multipliers(5, 1) == (1, 1, 1, 1, 0), "any layer may be chosen"
    strategy.prepare(mix)
    strategy.start_epoch(0)
    apply_freezing(mix, strategy, 0)
    assert {name for name, moved in step(mix).items() if moved} == {"mix.scores"}
    with torch.no_grad():
        mix.mix.scores.copy_(torch.tensor([0.1, 0.7, -0.2, 0.3]))
    strategy.start_epoch(1)
    apply_freezing(mix, strategy, 1)
    assert strategy.multipliers(5, 1) == (0, 1, 1, 0, 0)
    moved = {name for name, moved in step(mix).items() if moved}
    assert moved == {"backbone.scales.1.factor", "backbone.scales.2.factor"}
    with torch.no_grad():
        mix.mix.scores.copy_(torch.tensor([9.0, 0.7, -0.2, 0.3]))
    strategy.start_epoch(2)
    assert strategy.multipliers(5, 2) == (0, 1, 1, 0, 0), "the choice is made once"


def test_a_checkpoint_has_the_choice() -> None:
    mix, strategy, resumed = LayerMix(Samples()), CharacteristicSpecific(1), CharacteristicSpecific(1)
    for each in (strategy, resumed):
        each.bind(mix)
        each.prepare(mix)
    with torch.no_grad():
        mix.mix.scores.copy_(torch.tensor([0.0, 1.0, 2.0]))
    strategy.start_epoch(1)
    assert strategy.state is not None
    assert resumed.state is not None
    resumed.state.load_state_dict(strategy.state.state_dict())
    assert resumed.multipliers(4, 1) == (1, 0, 1, 0)


def test_weights_that_have_not_moved_choose_nothing() -> None:
    mix, strategy = LayerMix(Samples()), CharacteristicSpecific(2)
    strategy.bind(mix)
    strategy.prepare(mix)
    strategy.start_epoch(1)
    with pytest.raises(ContractError, match="the weights of the layers are equal after 2 epochs"):
        strategy.start_epoch(2)


def test_conformance() -> None:
    check_freezing(CharacteristicSpecific())


def test_without_a_mix_there_is_nothing_to_choose() -> None:
    with pytest.raises(RecipeError, match=r"freezing: characteristic-specific chooses .* set backbone\.layer=mix"):
        checked_recipe("demo", ["freezing={use: characteristic-specific}"])
    with pytest.raises(ContractError, match="probe_epochs must be 1 to 100000, got 0"):
        CharacteristicSpecific(0)
