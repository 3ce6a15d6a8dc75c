"""The neural source-filter vocoder: its sources, the continuity of its phases, and what its training sees."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vczoo.audio.frames import Frames
from vczoo.audio.mel import LogMel
from vczoo.audio.pitch import pitch_frames
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.vocoders.source_filter_net import SourceFilterNet

RATE_HZ = 16000


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def small(**options: object) -> SourceFilterNet:
    return SourceFilterNet(**{"width": 8, "blocks": 1, **options}).eval()  # type: ignore[arg-type]


def buzz(f0_hz: float = 200.0, seconds: float = 1.0) -> Waveform:
    """Ten harmonics that fall by 6 dB per octave."""
    times = torch.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return Waveform.of(sum(0.2 / k * torch.sin(2 * math.pi * k * f0_hz * times) for k in range(1, 11)), RATE_HZ)


def frames_of(vocoder: SourceFilterNet, wave: Waveform) -> tuple[Frames, Frames]:
    return LogMel(vocoder.accepts)(wave), pitch_frames(wave, vocoder.accepts)


@torch.inference_mode()
def test_the_harmonics_are_those_of_the_pitch() -> None:
    vocoder = small()
    mel, pitch = frames_of(vocoder, buzz(200.0))
    spectrum = torch.fft.rfft(vocoder(mel, pitch).samples[0, 2000:14000]).abs()
    peak_hz = float(spectrum[:300].argmax()) * RATE_HZ / 12000
    assert abs(peak_hz - 200.0) < 3


@torch.inference_mode()
def test_without_pitch_there_are_no_harmonics_of_it() -> None:
    vocoder = small()
    mel, pitch = frames_of(vocoder, buzz(200.0))
    assert not torch.equal(vocoder(mel).samples, vocoder(mel, pitch).samples)
    silent = vocoder(Frames.of(torch.full((1, 20, 80), -11.5)))
    assert float(silent.samples.abs().max()) < 1e-3


@torch.inference_mode()
def test_a_recording_is_the_same_alone_and_in_a_batch() -> None:
    vocoder = small()
    pairs = [frames_of(vocoder, buzz(200.0)), frames_of(vocoder, buzz(120.0, 0.6))]
    batch = vocoder(*(Frames.batch(each) for each in zip(*pairs, strict=True)))
    for index, (mel, pitch) in enumerate(pairs):
        assert torch.equal(batch[index].samples, vocoder(mel, pitch).samples)


@torch.inference_mode()
@pytest.mark.parametrize("skipped", [33, 34, 41])
def test_a_chunk_continues_the_phase(skipped: int) -> None:
    """Chunks of a voice begin at any phase of its fundamental; synthesized afresh, they would not match."""
    vocoder = small()
    torch.nn.init.constant_(vocoder.exit[1].bias[257:514], -8.0)  # no noise
    mel, pitch = frames_of(vocoder, buzz(187.0))
    whole = vocoder(mel, pitch).samples[0]
    rest = [Frames.of(each.values[:, skipped:]) for each in (mel, pitch)]
    before = Waveform.of(whole[skipped * 160 : skipped * 160 + 4000], RATE_HZ)
    follows = vocoder.follow(rest[0], before, rest[1]).samples[0]

    def likeness(samples: torch.Tensor) -> float:
        low = [torch.fft.rfft(each[4000:8000])[44:50] for each in (samples, whole[skipped * 160 :])]  # 187 Hz
        return float((low[0] * low[1].conj()).sum().real / (low[0].norm() * low[1].norm()))

    assert likeness(follows) > 0.98
    assert likeness(vocoder(*rest).samples[0]) < 0.8


def test_training_reaches_every_weight() -> None:
    vocoder = small().train()
    wave = Waveform.of(buzz().samples[:, :8000], RATE_HZ)
    mel, pitch = frames_of(vocoder, wave)
    torch.nn.init.normal_(vocoder.exit[1].weight, std=0.01)
    rebuilt = vocoder.rebuild(mel, wave, pitch).samples
    assert rebuilt.shape == (1, 8000)
    rebuilt.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in vocoder.parameters())


def test_weights_are_loaded(tmp_path: Path) -> None:
    vocoder = small()
    torch.nn.init.normal_(vocoder.exit[1].weight)
    save_file(vocoder.state_dict(), tmp_path / "vocoder.safetensors")
    other = small(weights=str(tmp_path / "vocoder.safetensors"))
    mel, pitch = frames_of(vocoder, buzz(seconds=0.3))
    assert torch.equal(other(mel, pitch).samples, vocoder(mel, pitch).samples)


@pytest.mark.parametrize("options", [{"width": 0}, {"blocks": 0}, {"window_length": 256}, {"window_length": 600}])
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ContractError, match="got"):
        small(**options)
