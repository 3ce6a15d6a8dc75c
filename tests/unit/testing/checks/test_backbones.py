"""The conformance suite finds each broken promise of a backbone. That sound parts pass: test_conformance."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Self

import pytest
import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.modules.interfaces.backbone import Stage
from vczoo.registry.entry import Entry
from vczoo.testing import check_backbone, check_entry

SPEC = FrameSpec(16000, 320, 24)


class Small(MelConv):
    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(width=4, blocks=1)


class NoSpec(Small):
    def __init__(self) -> None:
        super().__init__()
        self.spec = (16000, 320, 4)  # type: ignore[assignment]


class Wider(Small):
    def __init__(self) -> None:
        super().__init__()
        self.spec = FrameSpec(16000, 320, 5)


class Promising(Small):
    def num_frames(self, num_samples: int) -> int:
        return super().num_frames(num_samples) + 40


class PadsNothing(Small):
    """All recordings run as one batch, whose padding the convolutions then read."""

    def padded_length(self, num_samples: int) -> int:
        return 5120 * 100

    def prepare(self, wave: Waveform) -> Tensor:
        return super().prepare(wave) + 1


class Homeless(Small):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


class HomelessBuffer(Small):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))


class Shared(Small):
    def stages(self) -> tuple[Stage, ...]:
        return (*super().stages(), Stage("again", self.trunk["block1"]))


class SameNames(Small):
    def stages(self) -> tuple[Stage, ...]:
        return tuple(Stage("stage", stage.module) for stage in super().stages())


class NotComposed(Small):
    def run(self, activation: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        return super().run(activation, start, stop) * (2 if start else 1)


class Awake(Small):
    def train(self, mode: bool = True) -> Self:
        nn.Module.train(self, mode)
        return self


class Detached(Small):
    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        return super().collect(activation.detach(), lengths)


class Cut(Small):
    """The first stage gets no gradient."""

    def run(self, activation: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        names = list(self.trunk)[start:stop]
        for name in names:
            activation = self.trunk[name](activation)
            activation = activation.detach() if name == "stem" else activation
        return activation


@pytest.mark.parametrize(
    ("backbone", "part"),
    [
        (NoSpec, "`spec` must be a FrameSpec, got tuple"),
        (Wider, "have the shape (1, num_frames(3), spec.channels): expected (1, 1, 5), got (1, 1, 4)"),
        (Promising, "returned 16 frames for 3 samples, but its num_frames promises 41"),
        (PadsNothing, "a recording must give the same frames in a batch as by itself"),
        (Homeless, "every parameter and persistent buffer must be in a stage; in none: scale"),
        (HomelessBuffer, "every parameter and persistent buffer must be in a stage; in none: mean"),
        (Shared, "each tensor must be in one stage only"),
        (SameNames, "names of stages must differ, got ['stage', 'stage']"),
        (NotComposed, "running the stages one by one must give the same result as running all together"),
        (Awake, "a frozen stage must stay in eval mode through train(); stem does not"),
        (Detached, "gradients must reach the parameters"),
        (Cut, "a finite gradient must reach every parameter; none reaches trunk.stem.0.weight"),
    ],
)
def test_a_backbone_that_breaks_a_promise(backbone, part) -> None:
    with pytest.raises(ContractError) as error:
        check_backbone(backbone())
    assert part in str(error.value)


def test_the_check_leaves_the_part_as_it_was() -> None:
    backbone = Small().train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    check_backbone(backbone)
    assert backbone.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in backbone.parameters())


def test_an_entry_is_named_with_the_promise(monkeypatch) -> None:
    module = ModuleType("fake_parts")
    module.Homeless, module.Small = Homeless, Small  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fake_parts", module)
    check_entry(Entry("fake/small", "backbone", "fake_parts:Small", "s", "MIT", source="here"))
    with pytest.raises(ContractError, match=r"^backbone 'fake/net', stages: every parameter and persistent buffer"):
        check_entry(Entry("fake/net", "backbone", "fake_parts:Homeless", "s", "MIT", source="here"))
    with pytest.raises(ContractError, match=r"^vocoder 'fake/net', builds: the part must be a Vocoder, got Small"):
        check_entry(Entry("fake/net", "vocoder", "fake_parts:Small", "s", "MIT", source="here"))


def test_the_check_leaves_the_random_state_alone() -> None:
    entry = Entry("mel-conv", "backbone", "vczoo.modules.backbones.mel_conv:MelConv", "s", "MIT", source="here")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    check_entry(entry, width=4, blocks=1)
    assert torch.equal(torch.rand(1), expected)
