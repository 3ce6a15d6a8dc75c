"""Each family, layer by layer: transformers' own hidden states, in stages that keep the promises of the interface."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

import vczoo
from vczoo.testing import check_backbone
from vczoo_transformers.build import build, build_auto

Small = Callable[[str], tuple[Any, Path]]
TINY_EN = Path(__file__).resolve().parents[4] / "shared" / "models" / "whisper-tiny.en"
WAVES = ("wav2vec2", "wav2vec2-large", "hubert", "hubert-large", "wavlm", "wavlm-large", "data2vec-audio")
WAVES = (*WAVES, "unispeech", "unispeech-sat")
CONFORMERS = ("w2v-bert", "w2v-bert-relative", "w2v-bert-rotary")
NUM_LAYERS = 3


def apart(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape
    return float((found - wanted).abs().max() / wanted.abs().max())


def reference(model: Any, ready: Tensor, layer: int) -> Tensor:
    """The hidden states of transformers' own forward; after the last layer, what the model gives."""
    made = model(ready, output_hidden_states=True)
    return made.last_hidden_state if layer == NUM_LAYERS else made.hidden_states[layer]  # type: ignore[no-any-return]


@pytest.mark.parametrize("layer", range(NUM_LAYERS + 1))
@pytest.mark.parametrize("name", [*WAVES, *CONFORMERS])
def test_frames_are_transformers_hidden_states(small: Small, wave: vczoo.Waveform, name: str, layer: int) -> None:
    model, folder = small(name)
    backbone = build_auto(str(folder), layer=layer).eval()
    with torch.inference_mode():
        ready = backbone.prepare(wave)
        found = backbone(wave).values
        wanted = reference(model, ready.transpose(1, 2) if name in CONFORMERS else ready, layer)
    assert found.shape == (2, 50, 16)
    assert apart(found, wanted) < 1e-4


@pytest.mark.parametrize("layer", range(NUM_LAYERS + 1))
def test_whisper_is_transformers_encoder_where_that_reads_its_whole_window(small: Small, layer: int) -> None:
    model, folder = small("whisper")  # whose window is 60 frames, 1.2 s
    wave = vczoo.Waveform.of(0.1 * torch.randn(2, 60 * 320), 16000)
    backbone = build_auto(str(folder), layer=layer).eval()
    with torch.inference_mode():
        wanted = reference(model.encoder, backbone.prepare(wave), layer)
        assert apart(backbone(wave).values, wanted) < 1e-4


def test_whisper_reads_a_short_recording_as_long_as_it_is(small: Small, wave: vczoo.Waveform) -> None:
    model, folder = small("whisper")
    backbone, encoder = build_auto(str(folder), layer=2).eval(), model.encoder
    with torch.inference_mode():
        frames = torch.nn.functional.gelu(encoder.conv1(backbone.prepare(wave)))
        frames = torch.nn.functional.gelu(encoder.conv2(frames)).transpose(1, 2)
        frames = frames + encoder.embed_positions.weight[:50]
        for layer in encoder.layers[:2]:
            frames = layer(frames, None)
        assert apart(backbone(wave).values, frames) < 1e-4


@pytest.mark.parametrize("stage_layers", [1, 2])
@pytest.mark.parametrize("name", ["whisper", *WAVES, *CONFORMERS])
def test_backbones_keep_the_interface(small: Small, name: str, stage_layers: int) -> None:
    backbone = build_auto(str(small(name)[1]), stage_layers=stage_layers)
    names = ["layer1", "layer2", "layer3"] if stage_layers == 1 else ["layers1-2", "layer3"]
    assert [stage.name for stage in backbone.stages()] == ["features", *names]
    check_backbone(backbone)
    backbone.windows = vczoo.Windows(10, 2)  # of the check's recordings, the longest has 25 frames
    check_backbone(backbone)


@pytest.mark.parametrize("name", ["whisper", "wav2vec2", "wavlm", "w2v-bert"])
def test_layers_after_the_one_that_is_read_are_not_there(small: Small, name: str) -> None:
    folder = str(small(name)[1])
    whole, part = build_auto(folder), build_auto(folder, layer=1)
    names = [stage.name for stage in part.stages()]
    assert names == ["features", "layer1"]
    assert len(part.state_dict()) < len(whole.state_dict())
    assert [stage.name for stage in build_auto(folder, layer=0).stages()] == ["features"]


@pytest.mark.parametrize(("layer", "got"), [(-1, "-1"), (4, "4")])
def test_a_layer_that_the_model_does_not_have(small: Small, layer: int, got: str) -> None:
    with pytest.raises(vczoo.ContractError, match=rf"has 3 layers: layer is 0 .* to 3 \(after the last\), got {got}"):
        build_auto(str(small("wavlm")[1]), layer=layer)


def test_a_stage_has_a_layer_at_least(small: Small) -> None:
    with pytest.raises(vczoo.ContractError, match="1 or more; got 0"):
        build_auto(str(small("wavlm")[1]), stage_layers=0)


@pytest.mark.parametrize("name", ["whisper", "wav2vec2", "wav2vec2-large", "data2vec-audio", "w2v-bert"])
@pytest.mark.parametrize("samples", [1, 100, 320, 321, 399, 400, 720, 16000])
def test_every_length_gives_a_frame_a_hop(small: Small, name: str, samples: int) -> None:
    backbone = build_auto(str(small(name)[1]), layer=1).eval()
    with torch.inference_mode():
        frames = backbone(vczoo.Waveform.of(0.1 * torch.randn(1, samples), 16000))
    assert frames.values.shape == (1, -(-samples // 320), 16)
    assert torch.isfinite(frames.values).all()


@pytest.mark.parametrize("name", ["whisper", "wav2vec2", "wav2vec2-large", "wavlm", "w2v-bert"])
def test_silence_gives_frames_that_are_finite(small: Small, name: str) -> None:
    backbone = build_auto(str(small(name)[1])).eval()
    with torch.inference_mode():
        frames = backbone(vczoo.Waveform.of(torch.zeros(1, 8000), 16000))
    assert frames.values.shape == (1, 25, 16)
    assert torch.isfinite(frames.values).all()


@pytest.mark.parametrize("name", ["whisper", "wav2vec2-large", "data2vec-audio", "w2v-bert"])
def test_frame_t_is_centred_on_sample_320_t(small: Small, name: str) -> None:
    """A click is seen by the frames around it, as many before as after."""
    backbone = build_auto(str(small(name)[1]), layer=0).eval()
    if name != "whisper":  # convolved positions spread what a frame sees: only what is before them counts
        backbone.trunk["features"].positions = torch.nn.Identity()
    quiet = 0.01 * torch.randn(1, 40 * 320)
    click = quiet.clone()
    click[0, 20 * 320] += 0.01
    with torch.inference_mode():
        before, after = (backbone(vczoo.Waveform.of(samples, 16000)).values[0] for samples in (quiet, click))
    changed = (after - before).abs().sum(dim=1)
    weights = (changed - changed.median()).clamp(min=0)
    centre = float((weights * torch.arange(40)).sum() / weights.sum())
    assert centre == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize(("num_mels", "seconds"), [(80, 30), (128, 30)])
def test_whisper_mel_is_that_of_its_feature_extractor(num_mels: int, seconds: int) -> None:
    from vczoo_transformers.backbones.whisper import WhisperMel

    samples = 0.1 * torch.randn(2, seconds * 16000)
    extractor = WhisperFeatureExtractor(feature_size=num_mels)
    wanted = extractor(list(samples.numpy()), sampling_rate=16000, return_tensors="np").input_features
    assert torch.allclose(WhisperMel(num_mels)(samples), torch.from_numpy(wanted), atol=1e-4)


@pytest.mark.parametrize("name", ["wav2vec2", "wav2vec2-large"])
def test_waveforms_are_normalised_as_the_folder_says(
    small: Small, wave: vczoo.Waveform, tmp_path: Path, name: str
) -> None:
    model, _ = small(name)
    model.save_pretrained(tmp_path)
    padded = {}
    for wanted in (True, False):
        Wav2Vec2FeatureExtractor(do_normalize=wanted).save_pretrained(tmp_path)
        padded[wanted] = build_auto(str(tmp_path), layer=0).prepare(wave)[:, 200:16200]
    (tmp_path / "preprocessor_config.json").unlink()
    assert torch.equal(build_auto(str(tmp_path), layer=0).prepare(wave)[:, 200:16200], padded[name.endswith("large")])
    assert torch.equal(padded[False], wave.samples[:, : padded[False].shape[1]])
    extracted = Wav2Vec2FeatureExtractor(do_normalize=True)(list(wave.samples.numpy()), sampling_rate=16000)
    extracted = torch.stack([torch.from_numpy(row) for row in extracted.input_values])[:, : padded[True].shape[1]]
    assert torch.allclose(padded[True], extracted, atol=1e-5)


def test_kaldi_mel_is_that_of_w2v_berts_feature_extractor(small: Small, wave: vczoo.Waveform) -> None:
    backbone = build_auto(str(small("w2v-bert")[1]), layer=0)
    ready = backbone.prepare(wave)
    padded = torch.nn.functional.pad(wave.samples, (280, 0))[:, : 99 * 160 + 400]  # 100 mel frames
    extractor = SeamlessM4TFeatureExtractor()
    wanted = extractor(list(padded.numpy()), sampling_rate=16000, return_tensors="np").input_features
    # The logarithm of what is nearly 0 tells float32 from the original's float64.
    assert torch.allclose(ready.transpose(1, 2), torch.from_numpy(wanted), atol=5e-4)


@pytest.mark.skipif(not TINY_EN.is_dir(), reason="shared/models is not beside this checkout")
@pytest.mark.parametrize("where", [str(TINY_EN), str(TINY_EN / "model.safetensors")])
def test_real_weights_of_whisper(where: str) -> None:
    from transformers import WhisperModel

    encoder = WhisperModel.from_pretrained(TINY_EN, dtype=torch.float32).eval().encoder
    samples = torch.sin(
        torch.arange(480000) / 16000 * 2 * torch.pi * (200 + 50 * torch.sin(torch.arange(480000) / 8000))
    )
    wave = vczoo.Waveform.of(0.3 * samples, 16000)
    with torch.inference_mode():
        for layer in (2, 4):
            backbone = build("whisper-tiny.en", weights=where, layer=layer).eval()
            wanted = encoder(backbone.prepare(wave), output_hidden_states=True).hidden_states[layer]
            assert backbone.spec == vczoo.FrameSpec(16000, 320, 384)
            assert apart(backbone(wave).values, wanted) < 1e-4
