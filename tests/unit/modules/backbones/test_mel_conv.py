from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError, WeightsError
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.testing import check_backbone

LENGTHS = (1, 159, 160, 161, 319, 320, 321, 5119, 5120, 5121, 10079, 10080, 10081, 16000)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def noise(samples: int, seed: int = 0) -> Waveform:
    return Waveform.of(torch.rand(samples, generator=torch.Generator().manual_seed(seed)) - 0.5, 16000)


@pytest.mark.parametrize("options", [{}, {"width": 4, "blocks": 1, "num_mels": 20}, {"width": 8, "blocks": 5}])
def test_it_keeps_the_promises_of_a_backbone(options) -> None:
    check_backbone(MelConv(**options))


def test_stages_and_spec() -> None:
    backbone = MelConv(width=24, blocks=2)
    assert backbone.spec == FrameSpec(16000, 320, 24)
    assert [stage.name for stage in backbone.stages()] == ["stem", "block1", "block2"]
    assert backbone.spec.frame_rate_hz == 50


@pytest.mark.parametrize("samples", LENGTHS)
def test_a_frame_every_20_ms(samples) -> None:
    backbone = MelConv(width=4, blocks=1).eval()
    frames = backbone(noise(samples))
    expected = max(1, -(-samples // 320))
    assert backbone.num_frames(samples) == expected
    assert frames.values.shape == (1, expected, 4)
    assert frames.lengths.tolist() == [expected]


def test_recordings_of_one_padded_length_run_together() -> None:
    backbone = MelConv(width=4, blocks=1).eval()
    assert {backbone.padded_length(samples) for samples in (1, 160, 5119 - 160)} == {5120}
    assert backbone.padded_length(5120) == 2 * 5120  # 33 mel frames
    seen = []
    backbone.trunk["stem"].register_forward_hook(lambda _, inputs, __: seen.append(tuple(inputs[0].shape)))
    batch = backbone(Waveform.batch([noise(4000, 1), noise(6000, 2), noise(3000, 3)]))
    assert sorted(seen) == [(1, 80, 64), (2, 80, 32)]
    for index, samples in enumerate((4000, 6000, 3000)):
        alone = backbone(noise(samples, index + 1))
        torch.testing.assert_close(batch[index].values, alone.values, atol=1e-5, rtol=1e-4)


def test_what_follows_a_recording_is_not_read() -> None:
    backbone = MelConv(width=4, blocks=1).eval()
    wave = noise(4000)
    padded = Waveform(torch.nn.functional.pad(wave.samples, (0, 900)), 16000, torch.tensor([4000]))
    torch.testing.assert_close(backbone(padded).values, backbone(wave).values)


def test_silence_is_minus_one_and_padding_is_silence() -> None:
    prepared = MelConv(width=4).prepare(Waveform.of(torch.zeros(1000), 16000))
    assert prepared.shape == (1, 80, 32)
    torch.testing.assert_close(prepared, torch.full_like(prepared, -1.0))


def test_another_sample_rate_is_refused() -> None:
    with pytest.raises(ContractError, match="this backbone reads audio at 16000 Hz, but the waveform is at 8000 Hz"):
        MelConv(width=4)(Waveform.of(torch.zeros(1000), 8000))


def test_weights_from_a_file(tmp_path) -> None:
    source, path = MelConv(width=4, blocks=1), str(tmp_path / "weights.safetensors")
    save_file(source.trunk.state_dict(), path)
    loaded = MelConv(weights=path, width=4, blocks=1).eval()
    torch.testing.assert_close(loaded(noise(2000)).values, source.eval()(noise(2000)).values)
    with pytest.raises(WeightsError, match="does not fit: missing block2"):
        MelConv(weights=path, width=4, blocks=2)
    with pytest.raises(WeightsError, match="has shape"):
        MelConv(weights=path, width=5, blocks=1)


@pytest.mark.parametrize(
    ("options", "kind", "part"),
    [
        ({"width": 0}, ContractError, "width, blocks and num_mels must be 1 or more, got 0, 3 and 80"),
        ({"blocks": 0}, ContractError, "got 128, 0 and 80"),
        ({"num_mels": 0}, ContractError, "got 128, 3 and 0"),
        ({"weights": "pretrained"}, WeightsError, "expected one of: random, a path to a .safetensors file"),
        ({"weights": "gone/w.safetensors"}, WeightsError, "no such weights file"),
    ],
)
def test_options_out_of_range(options, kind, part) -> None:
    with pytest.raises(kind) as error:
        MelConv(**options)
    assert part in str(error.value)
