"""Activations: a prefix and the rest make the whole, cut or not; where time runs is found out, or it is said."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import vczoo
from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.modules.backbones.vision import VisionBackbone
from vczoo.modules.interfaces.backbone import Backbone, Stage
from vczoo.training.features.activations import (
    Activation,
    TimeAxis,
    cut,
    find_time_axis,
    frozen_depth,
    run_prefix,
    run_suffix,
)

LENGTHS = (4000, 9000, 4100, 9000, 16000)


def waves() -> list[Waveform]:
    generator = torch.Generator().manual_seed(0)
    return [Waveform.of(torch.rand(length, generator=generator) - 0.5, 16000) for length in LENGTHS]


def vision(time_stride: int) -> VisionBackbone:
    torch.manual_seed(0)
    stages = [
        Stage(
            f"block{index}",
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2, 2)),
        )
        for index, (before, after) in enumerate([(3, 4), (4, 6), (6, 8)])
    ]
    return VisionBackbone(stages, time_stride=time_stride).eval()


class Tokens(Backbone):
    """Bands one after the other, as a vision transformer has them: time is not an axis of its own."""

    spec = FrameSpec(16000, 160, 8)

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def stages(self) -> tuple[Stage, ...]:
        return Stage("tokens", nn.Identity()), Stage("layer", self.layer)

    def prepare(self, wave: Waveform) -> Tensor:
        count = self.num_frames(wave.samples.shape[1])
        frames = nn.functional.pad(wave.samples, (0, count * 160 - wave.samples.shape[1])).view(len(wave), count, 160)
        return frames[..., :32].view(len(wave), count, 4, 8).transpose(1, 2).flatten(1, 2)

    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        return Frames(activation.view(len(lengths), 4, -1, 8).mean(dim=1)[:, : int(lengths.max())], lengths)


BACKBONES = {
    "mel-conv": lambda: MelConv(width=8, blocks=2).eval(),
    "vision": lambda: vision(2),
    "square": lambda: vision(8),
}
PER_FRAME = {"mel-conv": [2, 1, 1, 1], "vision": [2, 1, 1, 1], "square": [8, 4, 2, 1]}  # before each stage


@pytest.mark.parametrize("name", BACKBONES)
def test_a_prefix_and_the_rest_give_what_the_whole_gives(name: str) -> None:
    backbone = BACKBONES[name]()
    with torch.inference_mode():
        wholes = [backbone(wave) for wave in waves()]
    for depth in range(len(backbone.stages()) + 1):
        with torch.no_grad():
            frames = run_suffix(backbone, run_prefix(backbone, waves(), depth), depth)
        for index, whole in enumerate(wholes):
            assert torch.allclose(frames[index].values, whole.values, atol=1e-4)


def test_an_activation_does_not_depend_on_what_runs_with_it() -> None:
    """Otherwise a fine-tune would depend on which recordings were in the cache already."""
    backbone = vczoo.load("base").model.backbone.eval()
    generator = torch.Generator().manual_seed(0)
    recordings = [Waveform.of(torch.rand(16000, generator=generator) - 0.5, 16000) for _ in range(6)]
    for depth in (3, len(backbone.stages())):
        together = run_prefix(backbone, recordings, depth)
        for recording, item in zip(recordings, together, strict=True):
            assert torch.equal(run_prefix(backbone, [recording], depth)[0].values, item.values)


@pytest.mark.parametrize("name", BACKBONES)
def test_time_is_found_and_an_excerpt_has_its_frames(name: str) -> None:
    """Away from the edges an excerpt gives the frames that it has in the whole."""
    backbone = BACKBONES[name]()
    for depth, steps in enumerate(PER_FRAME[name]):
        time = find_time_axis(backbone, depth)
        assert time is not None
        assert time.per_frame == steps
        (whole,) = run_prefix(backbone, waves()[-1:], depth)
        with torch.no_grad():
            frames = run_suffix(backbone, [whole], depth)
            excerpt, start = cut(whole, time, time.unit, 2 * time.unit)
            part = run_suffix(backbone, [excerpt], depth)
        assert start == time.unit
        assert part.values.shape[1] == excerpt.length == 2 * time.unit
        middle = slice(time.unit, time.unit + 1)  # what is furthest from both cuts
        if time.unit > 8:
            expected = frames.values[:, time.unit :][:, middle]
            assert torch.allclose(part.values[:, middle], expected, atol=1e-4)


def test_tokens_cannot_be_cut_and_a_network_in_training_stays_as_it_is() -> None:
    assert find_time_axis(Tokens(), 1) is None
    assert find_time_axis(Tokens(), 2) == TimeAxis(1, 1)
    backbone = vision(2).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    find_time_axis(backbone, 1)
    assert backbone.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_an_excerpt_at_the_end_starts_earlier_and_a_short_recording_is_whole() -> None:
    values = torch.arange(20.0).view(1, 10, 2)
    excerpt, start = cut(Activation(values, 9), TimeAxis(1, 1, 4), 8, 3)
    assert start == 6
    assert torch.equal(excerpt.values, values[:, 6:])
    assert excerpt.length == 3
    for short in (Activation(values[:, :4], 4), Activation(values.expand(2, -1, -1), 10)):
        assert cut(short, TimeAxis(1, 1, 4), 2, 3) == (short, 0)


@pytest.mark.parametrize(
    ("multipliers", "depth"), [((0, 0, 1), 2), ((1, 0, 1), 0), ((0, 0, 0), 3), ((0.5,), 0), ((), 0)]
)
def test_the_frozen_stages_before_the_first_that_trains(multipliers: tuple[float, ...], depth: int) -> None:
    assert frozen_depth(multipliers) == depth
