"""Frames of tiny random models: torchaudio's own, on time, owned once, the same in windows; on the CPU."""

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchaudio.models import wav2vec2_model, wavlm_model

import vczoo
from vczoo.testing import check_backbone
from vczoo_torchaudio import network
from vczoo_torchaudio.network import SpeechBackbone

CONVOLUTIONS = [(16, 10, 5), *[(16, 3, 2)] * 4, *[(16, 2, 2)] * 2]
KINDS = ("base", "large", "wavlm-base", "wavlm-large")
LAYERS = 5


def tiny(kind: str, layers: int = LAYERS) -> Any:
    """A model of the published architectures at a size of nothing: same strides, same order of norms."""
    large = kind.endswith("large")
    params = {
        "extractor_mode": "layer_norm" if large else "group_norm",
        "extractor_conv_layer_config": CONVOLUTIONS,
        "extractor_conv_bias": large,
        "encoder_embed_dim": 24,
        "encoder_projection_dropout": 0.1,
        "encoder_pos_conv_kernel": 8,
        "encoder_pos_conv_groups": 2,
        "encoder_num_layers": layers,
        "encoder_num_heads": 4,
        "encoder_attention_dropout": 0.1,
        "encoder_ff_interm_features": 32,
        "encoder_ff_interm_dropout": 0.1,
        "encoder_dropout": 0.1,
        "encoder_layer_norm_first": large,
        "encoder_layer_drop": 0.5,
        "aux_num_out": None,
    }
    if kind.startswith("wavlm"):
        return wavlm_model(**params, encoder_num_buckets=32, encoder_max_distance=80).eval()
    return wav2vec2_model(**params).eval()


def cut(model: Any, layers: int) -> Any:
    model = copy.deepcopy(model)
    model.encoder.transformer.layers = model.encoder.transformer.layers[:layers]
    return model


def noise(samples: int, seed: int = 1) -> Tensor:
    return torch.randn(1, samples, generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [1, 5_000, 16_000])
def test_every_layer_is_what_torchaudio_extracts_of_the_padded_waveform(kind: str, samples: int) -> None:
    model = tiny(kind)
    with torch.inference_mode():
        theirs, _ = model.extract_features(F.pad(noise(samples), (200, 199)))
        for layer in range(1, LAYERS + 1):
            mine = SpeechBackbone(cut(model, layer), stage_layers=2).eval()(vczoo.Waveform.of(noise(samples), 16_000))
            assert mine.values.shape == theirs[layer - 1].shape
            assert torch.allclose(mine.values, theirs[layer - 1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_layer_0_is_what_goes_into_the_first(kind: str) -> None:
    model = tiny(kind)
    backbone = SpeechBackbone(cut(model, 0)).eval()
    assert [stage.name for stage in backbone.stages()] == ["features"]
    with torch.inference_mode():
        features = model.encoder.feature_projection(model.feature_extractor(F.pad(noise(3_200), (200, 199)), None)[0])
        theirs = model.encoder.transformer._preprocess(features)
        assert torch.equal(backbone(vczoo.Waveform.of(noise(3_200), 16_000)).values, theirs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalise", [False, True])
def test_conformance(kind: str, normalise: bool) -> None:
    check_backbone(SpeechBackbone(tiny(kind), stage_layers=2, normalise=normalise))


def test_conformance_in_windows() -> None:
    check_backbone(SpeechBackbone(tiny("wavlm-large"), window_frames=12, context_frames=3))


@pytest.mark.parametrize("samples", [1, 2, 39, 119, 120, 200, 319, 320, 321, 399, 400, 639, 640, 16_001, 48_123])
@pytest.mark.parametrize("window_frames", [1500, 40])
def test_the_number_of_frames_is_known_before(samples: int, window_frames: int) -> None:
    backbone = SpeechBackbone(cut(tiny("base"), 1), window_frames=window_frames, context_frames=8).eval()
    frames = backbone(vczoo.Waveform.of(noise(samples), 16_000))
    assert frames.values.shape == (1, backbone.num_frames(samples), 24)
    assert frames.lengths.tolist() == [-(-samples // 320)]


def test_a_frame_is_centred_on_its_time() -> None:
    features = SpeechBackbone(tiny("large")).trunk["features"]
    samples = noise(320 * 9).requires_grad_(True)
    frames = features.extractor(F.pad(samples, (200, 199)), None)[0]
    for index in range(1, 9):
        (gradient,) = torch.autograd.grad(frames[0, index].square().sum(), samples, retain_graph=True)
        reads = torch.nonzero(gradient[0]).flatten()
        assert (int(reads.min()), int(reads.max())) == (320 * index - 200, 320 * index + 199)


def test_each_recording_is_normalised_by_itself() -> None:
    backbone = SpeechBackbone(tiny("large"), normalise=True).eval()
    quiet, loud = noise(8_000), noise(8_000, seed=2) * 9 + 0.2
    prepared = backbone.prepare(vczoo.Waveform.batch([vczoo.Waveform.of(wave, 16_000) for wave in (quiet, loud)]))
    inner = prepared[:, 200:-199]
    assert torch.allclose(inner.mean(dim=1), torch.zeros(2), atol=1e-5)
    assert torch.allclose(inner.std(dim=1), torch.ones(2), atol=1e-2)
    assert not prepared[:, :200].any()
    assert not prepared[:, -199:].any()


def test_stages_group_the_layers() -> None:
    names = [stage.name for stage in SpeechBackbone(tiny("base"), stage_layers=2).stages()]
    assert names == ["features", "layers1to2", "layers3to4", "layers5to5"]
    assert len(SpeechBackbone(tiny("base"), stage_layers=99).stages()) == 2


def test_relative_positions_belong_to_the_first_layer_and_every_layer_uses_them() -> None:
    backbone = SpeechBackbone(tiny("wavlm-base"), stage_layers=2).eval()
    owners = [
        stage.name
        for stage in backbone.stages()
        if any("rel_attn_embed" in name for name, _ in stage.module.named_parameters())
    ]
    assert owners == ["layers1to2"]
    twin = copy.deepcopy(backbone)
    frames = torch.randn(1, 30, 24)
    before = backbone.run(frames, 2)
    with torch.no_grad():
        twin.trunk["layers1to2"].layers[0].attention.rel_attn_embed.weight.normal_()
    assert not torch.allclose(twin.run(frames, 2), before, atol=1e-3)
    assert torch.equal(backbone.run(frames, 2), before), "a copy shares no tensor with what it was copied from"
    backbone.run(frames, 3).sum().backward()
    assert backbone.trunk["layers1to2"].layers[0].attention.rel_attn_embed.weight.grad is not None


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_a_window_are_those_of_the_model_on_that_window(kind: str) -> None:
    model, samples = tiny(kind), noise(320 * 100 + 77)
    backbone = SpeechBackbone(model, window_frames=40, context_frames=6).eval()
    starts, bounds = backbone.windows.starts(101), backbone.windows.seams(101)
    assert len(starts) == 4
    with torch.inference_mode():
        mine = backbone(vczoo.Waveform.of(samples, 16_000)).values
        for start, (left, right) in zip(starts, pairwise(bounds), strict=True):
            window = F.pad(samples, (200, 199))[:, start * 320 : (start + 39) * 320 + 400]
            theirs = model.extract_features(window)[0][-1]
            assert torch.allclose(mine[:, left:right], theirs[:, left - start : right - start], atol=1e-5, rtol=1e-4)


def test_without_attention_windows_change_nothing() -> None:
    """Convolutions reach less far than the context, so that no seam is heard in them."""
    model, wave = cut(tiny("large"), 0), vczoo.Waveform.of(noise(320 * 150 + 11), 16_000)
    with torch.inference_mode():
        whole = SpeechBackbone(model).eval()(wave)
        windowed = SpeechBackbone(model, window_frames=40, context_frames=6).eval()(wave)
    assert torch.allclose(whole.values, windowed.values, atol=1e-6)


def test_a_batch_of_long_recordings_is_put_together_again() -> None:
    backbone = SpeechBackbone(tiny("base"), window_frames=40, context_frames=6).eval()
    waves = [vczoo.Waveform.of(noise(320 * 100, seed), 16_000) for seed in (1, 2)]
    waves.append(vczoo.Waveform.of(noise(320 * 20, 3), 16_000))
    with torch.inference_mode():
        together = backbone(vczoo.Waveform.batch(waves))
        for index, wave in enumerate(waves):
            assert torch.allclose(together[index].values, backbone(wave).values, atol=1e-5)


def test_windows_run_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = SpeechBackbone(tiny("wavlm-base"), window_frames=40, context_frames=6).eval()
    wave = vczoo.Waveform.of(noise(320 * 300), 16_000)
    widest: list[int] = []
    for layer in backbone.trunk["layers1to4"].layers:
        layer.register_forward_hook(lambda _, given, __: widest.append(given[0].shape[0]))
    with torch.inference_mode():
        at_once = backbone(wave).values
        assert max(widest) > 2
        widest.clear()
        monkeypatch.setattr(network, "FRAMES_AT_ONCE", 80)
        assert torch.allclose(backbone(wave).values, at_once, atol=1e-5)
    assert max(widest) == 2


def test_no_layer_is_dropped_in_training() -> None:
    backbone = SpeechBackbone(tiny("large")).train()
    for module in backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif hasattr(module, "head_dim"):  # attention keeps its dropout as a number
            module.dropout = 0.0
    frames = torch.randn(1, 10, 24)
    assert torch.equal(backbone.run(frames, 1), backbone.run(frames, 1))
