from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.backbones.vision import VisionBackbone, limit_time_stride
from vczoo.modules.interfaces.backbone import Stage


def convolution(inputs: int, outputs: int, stride: int = 2, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)


def stages() -> list[Stage]:
    """Three halvings of both axes: a convolution, a pool and a convolution as large as its stride."""
    torch.manual_seed(0)
    return [
        Stage("stem", nn.Sequential(convolution(3, 4), nn.BatchNorm2d(4), nn.ReLU())),
        Stage("middle", nn.Sequential(nn.MaxPool2d(2), convolution(4, 6, stride=1), nn.ReLU())),
        Stage("last", nn.Conv2d(6, 8, kernel_size=2, stride=2)),
    ]


class Branches(nn.Module):
    """A residual block: both branches halve time and must still meet."""

    def __init__(self) -> None:
        super().__init__()
        self.body = convolution(4, 5)
        self.shortcut = nn.Conv2d(4, 5, kernel_size=1, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image) + self.shortcut(image)


def noise(seconds: float, seed: int = 0) -> Waveform:
    generator = torch.Generator().manual_seed(seed)
    return Waveform.of(torch.rand(round(16000 * seconds), generator=generator) - 0.5, 16000)


@pytest.mark.parametrize(("time_stride", "expected"), [(1, 1), (2, 2), (4, 4), (8, 8), (32, 8)])
def test_time_is_reduced_to_the_limit_and_frequency_fully(time_stride, expected) -> None:
    backbone = VisionBackbone(stages(), time_stride=time_stride)
    assert backbone.spec.sample_rate_hz == 16000
    assert backbone.spec.hop_length == 160 * expected
    assert backbone.spec.channels == 8 * 10  # 80 mels, halved three times, of 8 channels each


@pytest.mark.parametrize("time_stride", [1, 2, 8])
def test_frames_have_the_shape_that_the_spec_says(time_stride) -> None:
    backbone = VisionBackbone(stages(), time_stride=time_stride).eval()
    frames = backbone(noise(0.5))
    assert frames.values.shape == (1, backbone.num_frames(8000), backbone.spec.channels)
    assert frames.values.shape[1] == -(-8000 // backbone.spec.hop_length)


def test_weights_are_unchanged_by_the_limit() -> None:
    before = {name: tensor.clone() for name, tensor in nn.ModuleDict(stages()).state_dict().items()}
    backbone = VisionBackbone(stages(), time_stride=1)
    after = backbone.trunk.state_dict()
    assert list(after) == list(before)
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor)


def test_a_stride_beyond_the_network_leaves_it_as_it_is() -> None:
    image = torch.rand(1, 3, 80, 64)
    plain = nn.Sequential(*(stage.module for stage in stages())).eval()
    wanted = plain(image)
    limit_time_stride(plain, image, 32)
    torch.testing.assert_close(plain(image), wanted)


def test_batch_gives_what_its_items_give() -> None:
    backbone = VisionBackbone(stages(), time_stride=2).eval()
    items = [noise(0.3), noise(0.95, seed=1), noise(0.31, seed=2)]
    together = backbone(Waveform.batch(items))
    for index, item in enumerate(items):
        torch.testing.assert_close(together[index].values, backbone(item).values, atol=1e-5, rtol=1e-4)


def test_stages_run_one_by_one_give_the_same() -> None:
    backbone = VisionBackbone(stages()).eval()
    wave = noise(0.4)
    assert [stage.name for stage in backbone.stages()] == ["stem", "middle", "last"]
    prefix = backbone.run(backbone.prepare(wave), stop=1)
    frames = backbone.collect(backbone.run(prefix, start=1), torch.tensor([backbone.num_frames(6400)]))
    torch.testing.assert_close(frames[0].values, backbone(wave).values)


def test_every_parameter_stands_in_a_stage() -> None:
    backbone = VisionBackbone(stages())
    staged = [parameter for stage in backbone.stages() for parameter in stage.module.parameters()]
    assert {id(p) for p in staged} == {id(p) for p in backbone.parameters()}
    assert len(staged) == 6 + 2


def test_padded_length_is_the_end_of_the_images_last_column() -> None:
    backbone = VisionBackbone(stages())
    for samples in (1, 16000, 40959, 40960):
        padded = backbone.padded_length(samples)
        image = backbone.prepare(noise(samples / 16000))
        assert image.shape[3] * 160 == padded
        assert padded > samples


def test_parallel_branches_meet() -> None:
    network = nn.Sequential(convolution(3, 4), Branches())
    image = torch.rand(1, 3, 80, 64)
    limit_time_stride(network, image, 2)
    assert network(image).shape == (1, 5, 20, 32)


class Scaled(nn.Module):
    """A stage that shares a module, and its parameter, with others."""

    def __init__(self, shared: nn.Module, scale: nn.Parameter) -> None:
        super().__init__()
        self.convolution, self.shared, self.scale = convolution(3, 3), shared, scale

    def forward(self, image: Tensor) -> Tensor:
        return self.shared(self.convolution(image)) * self.scale


def test_what_stages_share_stays_real_and_shared() -> None:
    shared, scale = nn.BatchNorm2d(3), nn.Parameter(torch.tensor(2.0))
    backbone = VisionBackbone([Stage(name, Scaled(shared, scale)) for name in ("first", "second")], time_stride=4)
    assert not any(tensor.is_meta for tensor in (*backbone.parameters(), *backbone.buffers()))
    assert all(stage.module.scale is scale for stage in backbone.stages())
    assert backbone.eval()(noise(0.5)).values.isfinite().all()


def test_the_network_keeps_its_mode_and_statistics() -> None:
    network = nn.Sequential(convolution(3, 4), nn.BatchNorm2d(4)).train()
    limit_time_stride(network, torch.rand(1, 3, 80, 64), 1)
    assert network.training
    assert int(network[1].num_batches_tracked) == 0


@pytest.mark.parametrize("time_stride", [0, 3, 64])
def test_time_stride_is_a_power_of_two(time_stride) -> None:
    with pytest.raises(ContractError, match=rf"one of \(?1, 2, 4, 8, 16, 32\)? mel frames, got {time_stride}"):
        VisionBackbone(stages(), time_stride=time_stride)


def test_a_network_that_pools_everything_is_refused() -> None:
    flat = Stage("flat", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    with pytest.raises(ContractError, match=r"return a feature map \(B, C, F, T\), this one returns \(1, 8\)"):
        VisionBackbone([*stages(), flat])


def test_a_wrong_rate_is_refused() -> None:
    with pytest.raises(ContractError, match="reads audio at 16000 Hz, but the waveform is at 8000 Hz"):
        VisionBackbone(stages())(Waveform.of(torch.zeros(800), 8000))
