"""What a freezing strategy promises: a `Specimen` in; nothing out, or a `ContractError` that says what is broken."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.modules.freezing import apply_freezing
from vczoo.modules.interfaces.backbone import Backbone, Stage
from vczoo.testing.checks.expectations import expect, expect_bits, expect_kind, noise
from vczoo.testing.checks.specimen import Specimen

__all__ = ["FREEZING_CHECKS"]

WIDTH, HOP = 8, 32
RATE = 0.05  # of the steps
EPOCHS = (0, 1, 7, 100)


def multipliers(specimen: Specimen) -> None:
    """One multiplier a stage, finite, 0 or more, the same for the same epoch."""
    freezing = copy.deepcopy(specimen.part)
    for num_stages in (1, 2, 5, 12):
        for epoch in EPOCHS:
            found = freezing.multipliers(num_stages, epoch)
            where = f"for {num_stages} stages in epoch {epoch}, got {found}"
            expect(len(found) == num_stages, f"`multipliers` gives one a stage {where}")
            expect(all(0 <= value < math.inf for value in found), f"multipliers are finite and 0 or more {where}")
            expect(freezing.multipliers(num_stages, epoch) == found, f"multipliers depend on nothing else {where}")
    for module in (nn.Linear(2, 2), nn.BatchNorm1d(2)):
        expect_kind(freezing.trains(module), bool, f"`trains({type(module).__name__})`")


def frozen(specimen: Specimen) -> None:
    """Stages whose multiplier is 0 keep their bits through training steps, buffers too."""
    for epoch in (0, 1):
        backbone, freezing = _Probe().eval(), copy.deepcopy(specimen.part)
        freezing.prepare(backbone)
        applied = apply_freezing(backbone.train(), freezing, epoch)
        before = [_state(stage.module) for stage in backbone.stages()]
        _train(backbone)
        for stage, multiplier, kept in zip(backbone.stages(), applied, before, strict=True):
            if multiplier == 0:
                promise = f"a stage whose multiplier is 0 keeps its bits in epoch {epoch}: {stage.name}"
                expect_bits(_state(stage.module), kept, promise)


def finish(specimen: Specimen) -> None:
    """`prepare` changes no output, `finish` keeps what was learnt, and the tensors are those that there were."""
    backbone, freezing = _Probe().eval(), copy.deepcopy(specimen.part)
    wave = noise(backbone.spec, 20, 1)
    names = {name: tensor.shape for name, tensor in backbone.state_dict().items()}
    with torch.no_grad():
        first = backbone(wave).values
        freezing.prepare(backbone)
        promise = "`prepare` does not change what the backbone gives"
        expect(bool(torch.allclose(backbone(wave).values, first, atol=1e-5)), promise)
    apply_freezing(backbone.train(), freezing, 0)
    _train(backbone)
    with torch.no_grad():
        learnt = backbone.eval()(wave).values
        freezing.finish(backbone)
        after = backbone.eval()(wave).values
    found = {name: tensor.shape for name, tensor in backbone.state_dict().items()}
    expect(found == names, f"`finish` leaves the tensors that were there before `prepare`, got {sorted(found)[:8]}")
    expect(bool(torch.allclose(after, learnt, atol=1e-4)), "`finish` keeps what was learnt")


class _Probe(Backbone):
    """A convolution, a linear layer with norms, and another: what strategies tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = FrameSpec(8000, HOP, WIDTH)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.trunk = nn.ModuleDict(
                {
                    "first": nn.Sequential(nn.Linear(HOP, WIDTH), nn.LayerNorm(WIDTH)),
                    "second": nn.Sequential(nn.Linear(WIDTH, WIDTH), _OverTime(), nn.ReLU()),
                    "third": nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)),
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
    """(B, T, C) -> (B, T, C)."""

    def __init__(self) -> None:
        super().__init__(WIDTH)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


def _train(backbone: Backbone) -> None:
    free = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(free, lr=RATE) if free else None
    for seed in range(2):
        loss = backbone(noise(backbone.spec, 20, seed)).values.square().mean()
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


FREEZING_CHECKS = (multipliers, frozen, finish)
