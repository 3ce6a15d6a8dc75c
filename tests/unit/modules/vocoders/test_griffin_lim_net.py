"""The vocoder whose magnitudes a network makes: it starts as Griffin-Lim, and learns what the mel has lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.unit.modules.vocoders.test_griffin_lim import harmonics, mel_of
from vczoo.audio.frames import Frames
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError, WeightsError
from vczoo.models.training_settings import VocoderTraining
from vczoo.modules.vocoders.griffin_lim import GriffinLim
from vczoo.modules.vocoders.griffin_lim_net import GriffinLimNet
from vczoo.training.vocoder.segments import VocoderSegments
from vczoo.training.vocoder.trainable import TrainableVocoder


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def small(**options: object) -> GriffinLimNet:
    return GriffinLimNet(**{"width": 8, "blocks": 1, "iterations": 4, **options})  # type: ignore[arg-type]


def test_untrained_it_is_griffin_lim() -> None:
    given = mel_of(harmonics(), MelSpec())
    net, plain = small(), GriffinLim(iterations=4)
    made, expected = net.magnitudes(given.values), plain.magnitudes(given.values)
    loud = expected > 1e-2
    torch.testing.assert_close(made[loud], expected[loud], rtol=1e-4, atol=0)
    assert float(made.detach().min()) > 0  # where the pseudo-inverse gives less than nothing there is a floor
    cosine = torch.nn.functional.cosine_similarity(net(given).samples, plain(given).samples)
    assert float(cosine) > 0.99


def test_with_the_true_magnitudes_it_gives_the_recording_back(monkeypatch: pytest.MonkeyPatch) -> None:
    net, wave = small(), harmonics()
    spectrum = torch.stft(
        wave.samples, 1024, 160, window=torch.hann_window(1024), pad_mode="constant", return_complex=True
    )
    monkeypatch.setattr(net, "magnitudes", lambda _: spectrum.abs().transpose(1, 2))
    made = net.rebuild(mel_of(wave, net.accepts), wave)
    assert made.samples.shape == wave.samples.shape
    torch.testing.assert_close(made.samples, wave.samples, atol=1e-4, rtol=0)


def test_magnitudes_alone_learn() -> None:
    """The recording's phases stand still: twice the magnitudes are twice the waveform."""
    net, wave = small(), harmonics()
    given = mel_of(wave, net.accepts)
    once = net.rebuild(given, wave).samples
    torch.nn.init.constant_(net.exit[1].bias, 0.6931)
    torch.testing.assert_close(net.rebuild(given, wave).samples, 2 * once, rtol=1e-2, atol=1e-3)
    net.rebuild(given, wave).samples.square().mean().backward()
    assert all(parameter.grad is not None for parameter in net.exit.parameters())
    assert not net(given).samples.requires_grad  # phases by iteration are for use, not for training


def test_silence_stays_silent() -> None:
    net = small()
    wave = Waveform.of(torch.zeros(1600), 16000)
    made = net.rebuild(mel_of(wave, net.accepts), wave)
    assert made.samples.shape == (1, 1600)
    assert float(made.samples.detach().abs().max()) < 1e-3
    assert bool(net(Frames.of(torch.full((1, 5, 80), -11.5))).samples.isfinite().all())


def test_another_vocoder_rebuilds_as_it_makes() -> None:
    wave = harmonics(0.1)
    plain = GriffinLim(iterations=2)
    given = mel_of(wave, plain.accepts)
    assert torch.equal(plain.rebuild(given, wave).samples, plain(given).samples)


def test_weights_from_a_file(tmp_path: Path) -> None:
    source, path = small(), str(tmp_path / "weights.safetensors")
    torch.nn.init.normal_(source.exit[1].weight, std=0.1)
    save_file(source.state_dict(), path)
    given = mel_of(harmonics(0.1), MelSpec())
    loaded = small(weights=path)
    assert torch.equal(loaded(given).samples, source(given).samples)
    assert loaded.origin is not None
    with pytest.raises(WeightsError, match="has shape"):
        small(weights=path, width=9)


@pytest.mark.parametrize(
    ("options", "kind", "part"),
    [
        ({"width": 0}, ContractError, "width must be 1 or more and blocks 1 to 256, got 0 and 1"),
        ({"blocks": 0}, ContractError, "got 8 and 0"),
        ({"blocks": 257}, ContractError, "got 8 and 257"),
        ({"iterations": 0}, ContractError, "got iterations=0"),
        ({"hop_length": 513}, ContractError, "hop_length must be at most half of fft_length 1024"),
        ({"weights": "pretrained"}, WeightsError, "expected one of: random, a path to a .safetensors file"),
        ({"weights": "gone/w.safetensors"}, WeightsError, "no such weights file"),
    ],
)
def test_options_out_of_range(options, kind, part) -> None:
    with pytest.raises(kind) as error:
        small(**options)
    assert part in str(error.value)


def test_it_learns_the_magnitudes_of_a_recording() -> None:
    net = small()
    settings = VocoderTraining(steps=30, adversarial_from=1.0, learning_rate=0.01)
    nothing = VocoderSegments([], 16000, 1600)
    trainable = TrainableVocoder(net, net.accepts, settings, torch.device("cpu"), nothing, [])
    real = harmonics(0.3).samples
    losses = [float(trainable.step((real, None), number)["loss"].detach()) for number in range(30)]
    assert losses[-1] < 0.8 * losses[0]
