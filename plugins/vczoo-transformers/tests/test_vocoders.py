"""Vocoders: their mel is the original's, and so is their waveform; batches, lengths, weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    SpeechT5FeatureExtractor,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    UnivNetConfig,
    UnivNetFeatureExtractor,
    UnivNetModel,
)

import vczoo
from vczoo.testing import check_vocoder
from vczoo_transformers import VOCODERS
from vczoo_transformers.vocoders import END_FRAMES, HifiGanVocoder, UnivNetVocoder, build_hifigan, build_univnet

SMALL_HIFIGAN = {"upsample_initial_channel": 16}
SMALL_UNIVNET = {"model_in_channels": 8, "model_hidden_channels": 4, "kernel_predictor_hidden_channels": 8}


def loud(network: nn.Module) -> nn.Module:
    """With the small weights that they start from, these networks say nothing."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            module.reset_parameters()
    return network.eval()


def hifigan() -> HifiGanVocoder:
    network = loud(SpeechT5HifiGan(SpeechT5HifiGanConfig(**SMALL_HIFIGAN)))
    network.mean.normal_()
    network.scale.uniform_(0.5, 2)
    return HifiGanVocoder(network)  # type: ignore[arg-type]


def univnet() -> UnivNetVocoder:
    return UnivNetVocoder(loud(UnivNetModel(UnivNetConfig(**SMALL_UNIVNET))))  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [hifigan, univnet])
def test_vocoders_keep_the_interface(make) -> None:  # type: ignore[no-untyped-def]
    check_vocoder(make())


def test_hifigan_mel_is_that_of_speecht5() -> None:
    samples = 0.1 * torch.randn(16000)
    wanted = SpeechT5FeatureExtractor()(audio_target=samples.numpy(), sampling_rate=16000).input_values[0]
    found = vczoo.LogMel(hifigan().accepts)(vczoo.Waveform.of(samples, 16000)).values[0].numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-4


def test_univnet_mel_is_that_of_its_feature_extractor() -> None:
    samples = 0.1 * torch.randn(24000)
    wanted = UnivNetFeatureExtractor()(samples.numpy(), sampling_rate=24000).input_features[0]
    found = vczoo.LogMel(univnet().accepts)(vczoo.Waveform.of(samples, 24000)).values[0].numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-4


def test_hifigan_says_what_transformers_says() -> None:
    vocoder = hifigan()
    mel = torch.randn(2, 20, 80)
    with torch.inference_mode():
        wave = vocoder(vczoo.Frames.of(mel))
        wanted = vocoder.network(mel)
    assert wave.samples.shape == (2, 20 * 256)
    assert wanted.std() > 1e-4
    assert torch.allclose(wave.samples, wanted, atol=1e-5)


def test_univnet_says_what_transformers_says_of_a_mel_that_ends_in_silence() -> None:
    vocoder = univnet()
    mel = torch.randn(1, 20, 100)
    ended = torch.cat([mel, torch.full((1, END_FRAMES, 100), -11.512925)], dim=1)
    with torch.inference_mode():
        wave = vocoder(vczoo.Frames.of(mel))
        noise = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
        wanted = vocoder.network(ended, noise[None]).waveforms[:, : 20 * 256]
    assert wave.samples.shape == (1, 20 * 256)
    assert wanted.std() > 1e-4
    assert torch.allclose(wave.samples, wanted, atol=1e-5)


@pytest.mark.parametrize("file", [True, False])
def test_weights_of_a_folder_and_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: bool) -> None:
    monkeypatch.setitem(VOCODERS["speecht5-hifigan"]["config"], "upsample_initial_channel", 16)
    original = hifigan().network
    original.save_pretrained(tmp_path)
    vocoder = build_hifigan(str(tmp_path / "model.safetensors") if file else str(tmp_path))
    assert all(torch.equal(value, original.state_dict()[name]) for name, value in vocoder.network.state_dict().items())


def test_the_kind_that_the_published_configuration_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VOCODERS["speecht5-hifigan"]["config"], "upsample_initial_channel", 16)
    hifigan().network.save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    assert '"speecht5_hifigan"' in config
    (tmp_path / "config.json").write_text(config.replace('"speecht5_hifigan"', '"hifigan"'))
    assert build_hifigan(str(tmp_path)).accepts.hop_length == 256


def test_the_folder_of_another_vocoder(tmp_path: Path) -> None:
    univnet().network.save_pretrained(tmp_path)
    with pytest.raises(vczoo.ContractError, match="is not transformers/univnet: model_in_channels is 8, expected 64"):
        build_univnet(str(tmp_path))
    with pytest.raises(vczoo.ContractError, match="is not transformers/speecht5-hifigan: model_type is 'univnet'"):
        build_hifigan(str(tmp_path))


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("vczoo_transformers.weights_files.try_to_load_from_cache", lambda *_, **__: None)
    with pytest.raises(vczoo.WeightsError, match=r"51 MB, microsoft/speecht5_hifigan .*HF_HUB_OFFLINE is set"):
        build_hifigan()
