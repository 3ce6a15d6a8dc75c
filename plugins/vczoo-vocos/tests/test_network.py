"""The vocoder is Vocos: mel, waveform and names of tensors are those of the library, on the CPU."""

from collections.abc import Iterator

import pytest
import torch
import torchaudio
from torch import Tensor

import vczoo
from vczoo_vocos.build import build_published, build_small
from vczoo_vocos.network import Vocos


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def pattern(shape: tuple[int, ...], scale: float, phase: float) -> Tensor:
    """The same values on every machine."""
    count = torch.Size(shape).numel()
    return (torch.sin(torch.arange(count, dtype=torch.float64) * 0.7 + phase) * scale).float().view(shape)


def tone(seconds: float, rate: int) -> Tensor:
    """Three harmonics with an attack, then silence, in a little noise: loud and quiet bands at once."""
    time = torch.arange(round(seconds * rate)) / rate
    voice = sum(torch.sin(6.2832 * 180 * harmonic * time) / harmonic for harmonic in (1, 2, 3))
    return (0.2 * voice * (time < 0.7 * seconds) + 0.001 * torch.randn(time.shape))[None]


def test_the_waveform_is_that_of_vocos_0_1_0() -> None:
    """Figures of `VocosBackbone(8, 12, 36, 2)` and `ISTFTHead(12, 64, 16, "center")`, filled by `pattern`."""
    mel = vczoo.MelSpec(sample_rate_hz=24_000, num_mels=8, fft_length=64, hop_length=16)
    vocoder = Vocos(mel, width=12, hidden=36, blocks=2).eval()
    for index, (_, parameter) in enumerate(sorted(vocoder.named_parameters())):
        parameter.data.copy_(pattern(tuple(parameter.shape), 0.5, index))
    wave = vocoder(vczoo.Frames.of(pattern((1, 5, 8), 2.0, 0.3)))
    assert wave.samples.shape == (1, 64)
    # fmt: off
    wanted = [-0.026709, 0.039239, 0.053792, 0.20727, 0.990443, 0.081773, 0.042635, 0.138433, -0.2614, -0.31038,
              -0.100421, -0.023792, -0.300884]
    # fmt: on
    assert wave.samples[0, ::5].tolist() == pytest.approx(wanted, abs=2e-5)


def test_the_mel_is_that_of_vocos() -> None:
    """vocos.feature_extractors.MelSpectrogramFeatures is torchaudio's mel of these settings, at least 1e-7, as log."""
    accepts = build_published(weights="random").accepts
    samples = tone(0.8, 24_000)
    theirs = torchaudio.transforms.MelSpectrogram(
        sample_rate=24_000, n_fft=1024, hop_length=256, n_mels=100, center=True, power=1
    )(samples)
    mine = vczoo.LogMel(accepts)(vczoo.Waveform.of(samples, 24_000)).values
    assert torch.allclose(mine, theirs.clamp(min=1e-7).log().transpose(1, 2), atol=1e-4)


def test_mel_and_waveform_are_those_of_the_library() -> None:
    pytest.importorskip("vocos", reason="vocos is not installed")
    from vocos import Vocos as Original
    from vocos.feature_extractors import MelSpectrogramFeatures
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone

    features = MelSpectrogramFeatures(padding="center")
    original = Original(features, VocosBackbone(100, 512, 1536, 8), ISTFTHead(512, 1024, 256, "center")).eval()
    vocoder = build_published(weights="random").eval()
    vczoo_names, their_names = set(vocoder.state_dict()), set(original.state_dict())
    assert vczoo_names < their_names
    assert all(name.startswith(("feature_extractor.", "head.istft.")) for name in their_names - vczoo_names)
    vocoder.load_state_dict({name: original.state_dict()[name] for name in vczoo_names})
    wave = vczoo.Waveform.of(torch.cat([tone(0.8, 24_000), tone(0.8, 24_000).flip(1)]), 24_000)
    mel = vczoo.LogMel(vocoder.accepts)(wave)
    with torch.inference_mode():
        assert torch.allclose(mel.values.transpose(1, 2), features(wave.samples), atol=1e-4)
        theirs = original.decode(features(wave.samples))
        assert float(theirs.abs().max()) > 0.01
        assert torch.allclose(vocoder(mel).samples, theirs, atol=1e-5)


def test_the_small_one_reads_the_zoos_own_mels() -> None:
    assert build_small().accepts == vczoo.MelSpec()
    spec = build_small(num_mels=100, fft_length=512, hop_length=128, sample_rate_hz=8_000).accepts
    assert spec == vczoo.MelSpec(8_000, 100, 512, 128, 0.0, 4_000.0)


def test_a_batch_gives_what_its_items_give() -> None:
    vocoder = build_small(width=16, blocks=2).eval()
    values = torch.randn(3, 20, 80)
    values[1, 7:] = torch.nan
    values[2, 1:] = torch.nan
    frames = vczoo.Frames(values, torch.tensor([20, 7, 1]))
    with torch.inference_mode():
        wave = vocoder(frames)
        assert wave.lengths.tolist() == [19 * 160, 6 * 160, 0]
        for index in range(3):
            alone = vocoder(frames[index]).samples[0]
            assert torch.allclose(wave.samples[index, : len(alone)], alone, atol=1e-6)


def test_gradients_reach_every_parameter() -> None:
    vocoder = build_small(width=16, blocks=2).train()
    mel = vczoo.Frames.of(torch.randn(2, 30, 80) - 4)
    vocoder(mel).samples.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in vocoder.parameters())


def test_it_learns_a_tone() -> None:
    """A few steps of fine-tuning by the error of the mel bring the copy nearer to what was sung."""
    vocoder = build_small(width=32, blocks=2).train()
    log_mel = vczoo.LogMel(vocoder.accepts)
    target = log_mel(vczoo.Waveform.of(tone(0.5, 16_000), 16_000))
    optimizer = torch.optim.AdamW(vocoder.parameters(), lr=3e-3)
    errors = []
    for _ in range(30):
        error = (log_mel(vocoder(target)).values - target.values).abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.6 * errors[0]


def test_magnitudes_stay_finite() -> None:
    vocoder = build_small(width=16, blocks=2).eval()
    torch.nn.init.constant_(vocoder.head["out"].bias, 1e3)
    assert bool(vocoder(vczoo.Frames.of(torch.zeros(1, 9, 80))).samples.isfinite().all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width=0"),
        ({"blocks": 0}, "blocks=0"),
        ({"hop_length": 600}, "hop_length is at most half of fft_length 1024"),
        ({"num_mels": 0}, "num_mels must be a positive whole number"),
    ],
)
def test_sizes_out_of_range(options: dict[str, int], message: str) -> None:
    with pytest.raises(vczoo.ContractError, match=message):
        build_small(**options)
