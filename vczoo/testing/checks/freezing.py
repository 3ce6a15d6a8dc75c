"""Conformance checks of freezing strategies, on a small backbone. A check raises `ContractError` if it fails."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.backbones.layer_mix import LayerMix
from vczoo.modules.freezing.apply import apply_freezing
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.freezing import Freezing, Stage
from vczoo.testing.checks.expectations import expect, expect_bits, expect_kind, noise
from vczoo.testing.checks.specimen import Specimen

__all__ = ["FREEZING_CHECKS"]

WIDTH, HOP = 8, 32
RATE = 0.05  # learning rate of the training steps
EPOCHS = (0, 1, 7, 100)


def multipliers(specimen: Specimen) -> None:
    """There is one multiplier per stage, finite and 0 or more, and the same for the same epoch."""
    freezing = copy.deepcopy(specimen.part)
    for num_stages in (1, 2, 5, 12):
        for epoch in EPOCHS:
            values = freezing.multipliers(num_stages, epoch)
            where = f"for {num_stages} stages in epoch {epoch}, got {values}"
            expect(len(values) == num_stages, f"`multipliers` must return one per stage {where}")
            expect(all(0 <= value < math.inf for value in values), f"multipliers must be finite and 0 or more {where}")
            same = freezing.multipliers(num_stages, epoch) == values
            expect(same, f"multipliers must depend only on the number of stages and the epoch: {where}")
    for module in (nn.Linear(2, 2), nn.BatchNorm1d(2)):
        expect_kind(freezing.trains(module), bool, f"`trains({type(module).__name__})`")


def frozen(specimen: Specimen) -> None:
    """Training steps leave the parameters and buffers of stages with multiplier 0 unchanged."""
    for epoch in (0, 1):
        backbone, freezing = _bound(specimen)
        freezing.prepare(backbone)
        multipliers = apply_freezing(backbone.train(), freezing, epoch)
        before = [_state(stage.module) for stage in backbone.stages()]
        _train(backbone)
        for stage, multiplier, tensors in zip(backbone.stages(), multipliers, before, strict=True):
            if multiplier == 0:
                requirement = f"training must not change stage {stage.name}, whose multiplier is 0 in epoch {epoch}"
                expect_bits(_state(stage.module), tensors, requirement)


def finish(specimen: Specimen) -> None:
    """`prepare` keeps the output, `finish` keeps what was learned, and both together keep the names of tensors.

    A strategy whose modules stay, as `stays` says, may add names.
    """
    backbone, freezing = _bound(specimen)
    wave = noise(backbone.spec, 20, 1)
    expected = {name: tensor.shape for name, tensor in backbone.state_dict().items()}
    with torch.no_grad():
        first = backbone(wave).values
        freezing.prepare(backbone)
        same = bool(torch.allclose(backbone(wave).values, first, atol=1e-5))
        expect(same, "`prepare` must not change the output of the backbone")
    apply_freezing(backbone.train(), freezing, 0)
    _train(backbone)
    with torch.no_grad():
        learned = backbone.eval()(wave).values
        freezing.finish(backbone)
        after = backbone.eval()(wave).values
    actual = {name: tensor.shape for name, tensor in backbone.state_dict().items()}
    if freezing.stays:
        actual = {name: shape for name, shape in actual.items() if name in expected}
    expect(
        actual == expected,
        f"`finish` must restore the tensor names and shapes of before `prepare`, got {sorted(actual)[:8]}",
    )
    expect(bool(torch.allclose(after, learned, atol=1e-4)), "`finish` must keep what was learned")


def _bound(specimen: Specimen) -> tuple[Backbone, Freezing]:
    """A copy of the strategy, bound to a small backbone, or to a weighted sum of its layers if it needs one."""
    freezing: Freezing = copy.deepcopy(specimen.part)
    backbone: Backbone = _Probe().eval()
    try:
        freezing.bind(backbone)
    except ContractError:
        backbone = LayerMix(backbone).eval()
        freezing.bind(backbone)
    return backbone, freezing


class _Probe(Backbone):
    """A small backbone with layers that strategies may treat differently: linear, two kinds of norms, conditioning."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = FrameSpec(8000, HOP, WIDTH)
        self.layer_stages = 3
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.trunk = nn.ModuleDict(
                {
                    "first": nn.Sequential(nn.Linear(HOP, WIDTH), nn.LayerNorm(WIDTH)),
                    "second": nn.Sequential(nn.Linear(WIDTH, WIDTH), _OverTime(), nn.ReLU()),
                    "third": nn.Sequential(OrderedDict(film=nn.Linear(WIDTH, WIDTH), exit=nn.Linear(WIDTH, WIDTH))),
                }
            )

    def stages(self) -> tuple[Stage, ...]:
        return tuple(Stage(name, module) for name, module in self.trunk.items())

    def prepare(self, wave: Waveform) -> Tensor:
        samples = nn.functional.pad(wave.samples, (0, -wave.samples.shape[1] % HOP))
        return samples.view(len(samples), -1, HOP)

    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        return Frames(activation, lengths)


class _OverTime(nn.BatchNorm1d):
    """Batch normalization with time before channels: (B, T, C) -> (B, T, C)."""

    def __init__(self) -> None:
        super().__init__(WIDTH)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (the name in torch)
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


def _train(backbone: Backbone) -> None:
    trainable = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=RATE) if trainable else None
    for seed in range(2):
        loss = backbone(noise(backbone.spec, 20, seed)).values.square().mean()
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


FREEZING_CHECKS = (multipliers, frozen, finish)
