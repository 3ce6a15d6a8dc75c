"""The content backbone: its frames, its stages, and when it is given something else to hear. Promises: conformance."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import save_file

from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError, WeightsError
from vczoo.modules.backbones.content_conv import ContentConv
from vczoo.modules.freezing.apply import apply_freezing
from vczoo.modules.freezing.stages import Full, Partial

SMALL = {"width": 12, "blocks": 2, "channels": 5}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def small(**options: object) -> ContentConv:
    return ContentConv(**{**SMALL, **options})  # type: ignore[arg-type]


def noise(samples: int = 16000, seed: int = 0) -> Waveform:
    return Waveform.of(torch.rand(samples, generator=torch.Generator().manual_seed(seed)) - 0.5, 16000)


def test_stages_and_spec() -> None:
    backbone = small()
    assert backbone.spec == FrameSpec(16000, 320, 5)
    assert [stage.name for stage in backbone.stages()] == ["stem", "block1", "block2", "content"]
    assert [backbone.trunk[f"block{number}"].convolution.dilation for number in (1, 2)] == [(1,), (2,)]
    assert ContentConv().spec == FrameSpec(16000, 320, 96)
    assert len(ContentConv().stages()) == 11


@pytest.mark.parametrize("samples", [1, 320, 321, 5120, 16000])
def test_a_frame_every_20_ms(samples: int) -> None:
    frames = small().eval()(noise(samples))
    assert frames.values.shape == (1, max(1, -(-samples // 320)), 5)


def test_each_channel_of_each_recording_has_mean_0_and_deviation_1() -> None:
    frames = small().eval()(Waveform.batch([noise(16000, 1), noise(9000, 2)]))
    for index in range(2):
        values = frames[index].values[0]
        torch.testing.assert_close(values.mean(dim=0), torch.zeros(5), atol=1e-4, rtol=0)
        torch.testing.assert_close(values.std(dim=0, correction=0), torch.ones(5), atol=1e-2, rtol=0)


def test_in_training_it_hears_otherwise_each_time_and_else_the_same() -> None:
    backbone, wave = small(), noise()
    heard = backbone.eval()(wave).values
    assert torch.equal(backbone(wave).values, heard)
    backbone.train()
    first, second = backbone(wave).values, backbone(wave).values
    assert not torch.equal(first, second)
    assert not torch.allclose(first, heard, atol=0.1)


def test_without_perturbation_training_hears_what_there_is() -> None:
    backbone, wave = small(perturb=0.0), noise()
    assert torch.equal(backbone.train()(wave).values, backbone.eval()(wave).values)


def test_a_weaker_perturbation_moves_content_less() -> None:
    moved = []
    for strength in (0.01, 1.0):
        torch.manual_seed(0)
        backbone, wave = small(perturb=strength), noise()
        heard = backbone.eval()(wave).values
        backbone.train()
        moved.append(sum(float((backbone(wave).values - heard).square().mean().detach()) for _ in range(8)))
    assert 3 * moved[0] < moved[1]


@pytest.mark.parametrize("freezing", [Full(), Partial(trainable_stages=1)])
def test_a_frozen_stem_hears_what_there_is(freezing: Full | Partial) -> None:
    backbone, wave = small(), noise()
    heard = backbone.eval()(wave).values
    apply_freezing(backbone, freezing, 0)
    backbone.train()
    assert torch.equal(backbone(wave).values, heard)


def test_weights_from_a_file(tmp_path) -> None:
    source, path = small(), str(tmp_path / "weights.safetensors")
    save_file(source.trunk.state_dict(), path)
    loaded = small(weights=path).eval()
    assert torch.equal(loaded(noise()).values, source.eval()(noise()).values)
    assert loaded.origin is not None
    assert small().origin is None
    with pytest.raises(WeightsError, match="does not fit: missing block3"):
        small(weights=path, blocks=3)


@pytest.mark.parametrize(
    ("options", "kind", "part"),
    [
        ({"width": 0}, ContractError, "width, blocks, channels and num_mels must be 1 or more, got 0, 2, 5 and 80"),
        ({"blocks": 0}, ContractError, "got 12, 0, 5 and 80"),
        ({"channels": 0}, ContractError, "got 12, 2, 0 and 80"),
        ({"num_mels": 0}, ContractError, "got 12, 2, 5 and 0"),
        ({"blocks": 257}, ContractError, "blocks must be at most 256, got 257"),
        ({"perturb": 1.5}, ContractError, "perturb must be in [0, 1], got 1.5"),
        ({"perturb": math.nan}, ContractError, "perturb must be in [0, 1], got nan"),
        ({"weights": "pretrained"}, WeightsError, "expected one of: random, a path to a .safetensors file"),
        ({"weights": "gone/w.safetensors"}, WeightsError, "no such weights file"),
    ],
)
def test_options_out_of_range(options, kind, part) -> None:
    with pytest.raises(kind) as error:
        small(**options)
    assert part in str(error.value)
