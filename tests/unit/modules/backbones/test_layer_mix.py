"""A trained weighted sum of layers: worked numbers, stages, freezing, and backbones that have no layers to sum."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError, RecipeError
from vczoo.models.build import checked_recipe
from vczoo.modules.backbones.layer_mix import LayerMix, WeightedSum
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.modules.freezing.apply import apply_freezing
from vczoo.modules.freezing.selection import Selected
from vczoo.modules.freezing.stages import Full, Partial
from vczoo.modules.interfaces.backbone import Backbone, Stage
from vczoo.testing import check_backbone
from vczoo.training.features.activations import find_time_axis, run_prefix, run_suffix


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, frames: Tensor) -> Tensor:
        return frames * self.factor


class Samples(Backbone):
    """A frame per two samples, which stages multiply by 1, 2 and 3."""

    def __init__(self, factors: tuple[float, ...] = (1.0, 2.0, 3.0)) -> None:
        super().__init__()
        self.spec = FrameSpec(4000, 2, 2)
        self.scales = nn.ModuleList(map(Scale, factors))
        self.layer_stages = len(factors)

    def stages(self) -> tuple[Stage, ...]:
        return tuple(Stage(f"layer{index}", module) for index, module in enumerate(self.scales))

    def padded_length(self, num_samples: int) -> int:
        return -(-num_samples // 2) * 2

    def prepare(self, wave: Waveform) -> Tensor:
        return nn.functional.pad(wave.samples, (0, wave.samples.shape[1] % 2)).unflatten(1, (-1, 2))

    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        return Frames(activation, lengths)


def waveform() -> Waveform:
    return Waveform.of(torch.tensor([0.25, 0.5, -0.25, 0.75]), 4000)


def test_equal_weights_at_first_then_those_of_the_softmax() -> None:
    mix = LayerMix(Samples())
    # Stages multiply by 1, 1 * 2 and 1 * 2 * 3; their mean is 3 times the samples.
    assert mix(waveform()).values.flatten().tolist() == pytest.approx([0.75, 1.5, -0.75, 2.25])
    with torch.no_grad():
        mix.mix.scores.copy_(torch.tensor([math.log(5), math.log(3), math.log(2)]))
    assert mix.shares() == pytest.approx({"layer0": 0.5, "layer1": 0.3, "layer2": 0.2})
    # 0.5 * 1 + 0.3 * 2 + 0.2 * 6 = 2.3
    assert mix(waveform()).values.flatten().tolist() == pytest.approx([0.575, 1.15, -0.575, 1.725])


def test_the_gradient_of_a_weight_is_worked_by_hand() -> None:
    mix = WeightedSum(2, axis=-1)
    out = mix(torch.tensor([[[1.0, 5.0]]]))  # one channel of two layers
    assert out.shape == (1, 1, 1)
    assert out.item() == 3
    out.sum().backward()
    # d/ds0 of softmax(s)0 * 1 + softmax(s)1 * 5 at equal scores: 0.25 * (1 - 5)
    assert mix.scores.grad is not None
    assert mix.scores.grad.tolist() == [-1, 1]


def test_only_the_weights_train_if_the_last_stage_does() -> None:
    mix = LayerMix(Samples())
    assert [stage.name for stage in mix.stages()] == ["layer0", "layer1", "layer2", "mix"]
    for strategy, trained in (
        (Partial(1), ["mix.scores"]),
        (Selected(["mix"]), ["mix.scores"]),
        (Full(), []),
        (Partial(2), ["backbone.scales.2.factor", "mix.scores"]),
    ):
        strategy.bind(mix)
        apply_freezing(mix, strategy, 0)
        assert [name for name, value in mix.named_parameters() if value.requires_grad] == trained


def test_frozen_layers_are_kept_side_by_side_and_cut_in_time() -> None:
    mix = LayerMix(Samples()).eval()
    (item,) = run_prefix(mix, [waveform()], depth=3)
    assert item.values[0, 0].tolist() == [0.25, 0.5, 0.5, 1.0, 1.5, 3.0]
    assert torch.equal(run_suffix(mix, [item], 3).values, mix(waveform()).values)
    time = find_time_axis(mix, 3)
    assert time is not None
    assert (time.axis, time.per_frame) == (1, 1)


def test_channels_first_layers_are_mixed_too() -> None:
    torch.manual_seed(0)
    backbone = MelConv(width=8, blocks=2)
    check_backbone(LayerMix(backbone))
    mix = LayerMix(backbone).eval()
    wave = Waveform.of(torch.rand(3200) - 0.5, 16000)
    activation, outputs = backbone.prepare(wave), []
    for stage in backbone.stages():
        activation = stage.module(activation)
        outputs.append(activation)
    expected = sum(outputs[1:], outputs[0]) / 3
    torch.testing.assert_close(mix(wave).values, expected.transpose(1, 2)[:, :10])


class OneStage(Samples):
    def __init__(self) -> None:
        super().__init__((2.0,))


def test_a_backbone_of_one_stage_has_nothing_to_mix() -> None:
    with pytest.raises(ContractError, match=r"needs two or more stages.*OneStage has none: it has one stage\. Remove"):
        LayerMix(OneStage())


def test_stages_of_different_rates_are_not_mixed() -> None:
    with pytest.raises(RecipeError, match=r"backbone: layer: mix needs .* its stages differ in frame rate or channels"):
        checked_recipe("base", ["backbone.layer=mix"])

    class Wrong(Samples):
        def run(self, activation: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
            return super().run(activation, start, stop)[:, : 2 - start]

    with pytest.raises(ContractError, match=r"cannot sum layer0 to layer2: .*layer1 has the shape \(1, 1, 2\)"):
        LayerMix(Wrong())(waveform())


def test_any_backbone_takes_the_option() -> None:
    recipe = checked_recipe("demo", ["backbone.layer=mix", "backbone.blocks=1"])
    assert recipe.backbone.options["layer"] == "mix"
    with pytest.raises(RecipeError, match=r"backbone\.layer: mel-conv has no such option"):
        checked_recipe("demo", ["backbone.layer=2"])
