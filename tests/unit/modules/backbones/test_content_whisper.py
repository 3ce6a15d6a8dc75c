"""The content backbone over the first layers of a Whisper encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError, WeightsError
from vczoo.modules.backbones.content_whisper import ContentWhisper
from vczoo.modules.freezing.apply import apply_freezing
from vczoo.modules.freezing.selection import Selected

SMALL = {"width": 64, "layers": 2, "blocks": 1, "block_width": 8, "channels": 5}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def small(**options: object) -> ContentWhisper:
    return ContentWhisper(**{**SMALL, **options})  # type: ignore[arg-type]


def noise(samples: int = 16000, seed: int = 0) -> Waveform:
    return Waveform.of(torch.rand(samples, generator=torch.Generator().manual_seed(seed)) - 0.5, 16000)


def test_stages_and_spec() -> None:
    backbone = small()
    assert backbone.spec == FrameSpec(16000, 320, 5)
    assert [s.name for s in backbone.stages()] == ["stem", "convolutions", "positions", "layer1", "layer2", "content"]


@pytest.mark.parametrize("samples", [1, 320, 321, 5120, 16000])
def test_a_frame_is_20_ms_long(samples: int) -> None:
    frames = small().eval()(noise(samples))
    assert frames.values.shape == (1, max(1, -(-samples // 320)), 5)


def test_a_whisper_checkpoint_gives_the_activations_of_its_encoder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.WhisperConfig(
        d_model=64, encoder_layers=3, encoder_attention_heads=1, encoder_ffn_dim=256, num_mel_bins=80,
        decoder_layers=1, decoder_attention_heads=1, decoder_ffn_dim=8, vocab_size=8,
        pad_token_id=0, bos_token_id=0, eos_token_id=0, decoder_start_token_id=0,
    )  # fmt: skip
    encoder = transformers.WhisperModel(config).encoder.eval()
    tensors = {f"model.encoder.{name}": tensor.clone() for name, tensor in encoder.state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    backbone = small(weights=str(tmp_path / "model.safetensors")).eval()
    mel = backbone.run(backbone.prepare(noise()), 0, 1)
    features = transformers.WhisperFeatureExtractor(feature_size=80)
    padded = torch.nn.functional.pad(noise().samples[0], (0, backbone.padded_length(16000) - 16000))
    theirs = features(padded.numpy(), sampling_rate=16000, padding=False, return_tensors="pt").input_features
    torch.testing.assert_close(mel, theirs, atol=2e-4, rtol=0)
    with torch.no_grad():
        expected = torch.nn.functional.gelu(encoder.conv2(torch.nn.functional.gelu(encoder.conv1(mel)))).transpose(1, 2)
        expected = expected + encoder.embed_positions.weight[: expected.shape[1]]
        for layer in encoder.layers[:2]:
            out = layer(expected, None)
            expected = out[0] if isinstance(out, tuple) else out
        torch.testing.assert_close(backbone.run(mel, 1, 5), expected, atol=1e-4, rtol=1e-4)


def test_a_checkpoint_with_too_few_layers_is_refused(tmp_path: Path) -> None:
    tensors = {f"trunk.{name}": tensor for name, tensor in small(layers=1).trunk.state_dict().items()}
    whisper = {
        name.replace("trunk.convolutions.", "model.encoder.").replace("trunk.layer1.", "model.encoder.layers.0."): value
        for name, value in tensors.items()
        if ".content." not in name
    }
    save_file(whisper, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="no layer2; lower the option layers"):
        small(weights=str(tmp_path / "model.safetensors"))


def test_its_own_weights_are_loaded(tmp_path: Path) -> None:
    backbone = small().eval()
    save_file(backbone.trunk.state_dict(), tmp_path / "own.safetensors")
    other = small(weights=str(tmp_path / "own.safetensors")).eval()
    assert torch.equal(other(noise()).values, backbone(noise()).values)


def test_only_stem_positions_and_content_vary_or_train() -> None:
    """The stem perturbs and positions move, although the layers between them are frozen."""
    backbone = small()
    strategy = Selected(stages=["stem", "positions", "content"])
    strategy.bind(backbone)
    apply_freezing(backbone, strategy, 0)
    backbone.train()
    mel = backbone.prepare(noise())
    assert not torch.equal(backbone.run(mel, 0, 1), backbone.run(mel, 0, 1))
    frames = backbone.run(backbone.eval().run(mel, 0, 1), 1, 2)
    backbone.train()
    assert not torch.equal(backbone.run(frames, 2, 3), backbone.run(frames, 2, 3))
    trained = {name.split(".")[1] for name, value in backbone.named_parameters() if value.requires_grad}
    assert trained == {"content"}
    backbone.eval()
    assert torch.equal(backbone(noise()).values, backbone(noise()).values)


@pytest.mark.parametrize("options", [{"layers": 0}, {"width": 65}, {"channels": 0}, {"perturb": 1.5}, {"blocks": 300}])
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ContractError, match="got"):
        small(**options)
