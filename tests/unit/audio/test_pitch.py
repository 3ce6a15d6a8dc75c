from __future__ import annotations

import math

import numpy as np
import pytest
import pyworld
import torch

from vczoo.audio import pitch
from vczoo.audio.frames import Frames
from vczoo.audio.pitch import PITCH_CENTRE_LOG_HZ, PITCH_SCALE, mean_log_hz, pitch_frames, shift_pitch
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform

RATE_HZ = 16000
MEL = MelSpec()


def tone(f0_hz: float, seconds: float = 0.5, rate_hz: int = RATE_HZ) -> Waveform:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    samples = sum(np.sin(2 * np.pi * n * f0_hz * time) / n for n in range(1, 12) if n * f0_hz < rate_hz / 2)
    return Waveform.of(torch.from_numpy(0.2 * samples).float(), rate_hz)


def in_hz(pitch: Frames) -> torch.Tensor:
    """F0 of the voiced frames."""
    voiced = pitch.values[0, :, 1] > 0
    return (pitch.values[0, voiced, 0] * PITCH_SCALE + PITCH_CENTRE_LOG_HZ).exp()


@pytest.mark.parametrize("rate_hz", [16000, 22050])
@pytest.mark.parametrize("f0_hz", [120.0, 220.0])
def test_a_harmonic_tone_is_found_within_two_percent(f0_hz, rate_hz) -> None:
    pitch = pitch_frames(tone(f0_hz, rate_hz=rate_hz), MelSpec(sample_rate_hz=rate_hz))
    found = in_hz(pitch)
    assert found.shape[0] > 0.8 * pitch.values.shape[1]
    assert ((found / f0_hz - 1).abs() < 0.02).float().mean() > 0.95
    assert mean_log_hz(pitch).exp().item() == pytest.approx(f0_hz, rel=0.02)


def carried(f0_hz: float, seconds: float) -> torch.Tensor:
    """Of a tone, what a telephone carries."""
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    harmonics = range(math.ceil(300 / f0_hz), int(3400 / f0_hz) + 1)
    samples = sum(np.cos(2 * np.pi * n * f0_hz * time + n * n) / n for n in harmonics)
    return torch.from_numpy(0.2 * samples).float()


def test_a_fundamental_that_a_telephone_took_away_is_found() -> None:
    pitch = pitch_frames(Waveform.of(carried(120, 1.0), RATE_HZ), MEL)
    found = in_hz(pitch)
    assert found.shape[0] > 0.8 * pitch.values.shape[1]
    assert ((found / 120 - 1).abs() < 0.02).float().mean() > 0.95


@pytest.mark.parametrize("loudness", [0.05, 0.2])
def test_the_hum_of_the_mains_is_no_pitch(loudness) -> None:
    speech = tone(190, 1.0).samples[0].double().numpy()
    time = np.arange(speech.size) / RATE_HZ
    said = np.clip(3 * np.sin(4 * np.pi * time), 0, 1)  # with pauses
    heard = speech * said + loudness * np.sin(2 * np.pi * 60 * time)
    pitch = pitch_frames(Waveform.of(torch.from_numpy(heard).float(), RATE_HZ), MEL)
    loud = torch.from_numpy(said[:: MEL.hop_length] == 1)
    found = in_hz(pitch.with_values(pitch.values[:, : loud.shape[0]] * loud[:, None]))
    assert found.shape[0] > 0.9 * loud.sum()
    assert ((found / 190 - 1).abs() < 0.02).float().mean() > 0.95


def test_where_the_envelope_agrees_in_part_the_fundamental_is_believed() -> None:
    wave = Waveform.of(torch.cat([tone(190, 0.4).samples[0], carried(190, 0.6)]), RATE_HZ)
    samples = wave.samples[0].double().numpy()
    rough_hz, times = pyworld.dio(
        samples, RATE_HZ, f0_floor=pitch.COMMON_HZ[0], f0_ceil=pitch.COMMON_HZ[1], frame_period=10.0
    )
    expected = pyworld.stonemask(samples, rough_hz, times, RATE_HZ)
    assert (expected > 300).sum() > 1.5 * (abs(expected / 190 - 1) < 0.02).sum() > 30  # of more frames it is a harmonic
    torch.testing.assert_close(in_hz(pitch_frames(wave, MEL)), torch.from_numpy(expected[expected > 0]).float())


def test_a_pure_tone_is_its_own_pitch() -> None:
    time = np.arange(RATE_HZ) / RATE_HZ
    found = in_hz(
        pitch_frames(Waveform.of(torch.from_numpy(0.2 * np.sin(2 * np.pi * 150 * time)).float(), RATE_HZ), MEL)
    )
    assert found.shape[0] > 80
    assert ((found / 150 - 1).abs() < 0.02).float().mean() > 0.95


def test_values_are_scaled_log_f0_where_voiced_and_zero_elsewhere() -> None:
    pitch = pitch_frames(tone(200 * math.exp(PITCH_SCALE)), MEL).values[0]
    assert set(pitch[:, 1].unique().tolist()) <= {0.0, 1.0}
    assert pitch[pitch[:, 1] > 0, 0].median().item() == pytest.approx(1.0, abs=0.04)
    assert not pitch[pitch[:, 1] == 0].any()


@pytest.mark.parametrize("kind", ["silence", "noise"])
def test_what_has_no_pitch_is_unvoiced_and_has_no_mean(kind) -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.zeros(8000) if kind == "silence" else 0.2 * torch.randn(8000, generator=generator)
    pitch = pitch_frames(Waveform.of(samples, RATE_HZ), MEL)
    assert pitch.values[..., 1].mean() < 0.1
    if kind == "silence":
        assert not pitch.values.any()
        assert mean_log_hz(pitch).isnan().all()


@pytest.mark.parametrize("log_ratio", [math.log(2), -math.log(2), 0.0])
def test_a_shift_moves_what_is_voiced(log_ratio) -> None:
    pitch = pitch_frames(tone(180), MEL)
    moved = shift_pitch(pitch, log_ratio)
    assert torch.equal(moved.values[..., 1], pitch.values[..., 1])
    torch.testing.assert_close(in_hz(moved), in_hz(pitch) * math.exp(log_ratio))
    unvoiced = pitch.values[..., 1] == 0
    assert not moved.values[unvoiced].any()
    torch.testing.assert_close(mean_log_hz(moved), mean_log_hz(pitch) + log_ratio)
    torch.testing.assert_close(shift_pitch(pitch, torch.tensor([log_ratio])).values, moved.values)


@pytest.mark.parametrize("samples", [0, 1, 79, 159, 160, 161, 319, 320, 321, 1000, 4096, 7999, 8000, 16001])
@pytest.mark.parametrize(("hop", "rate_hz"), [(160, 16000), (256, 22050), (300, 24000), (441, 44100)])
@pytest.mark.parametrize("centred", [True, False])
def test_frames_are_those_of_the_mel(samples, hop, rate_hz, centred) -> None:
    wave = Waveform.of(tone(150, 1.1, rate_hz).samples[0, :samples], rate_hz)
    pitch = pitch_frames(wave, MelSpec(sample_rate_hz=rate_hz, hop_length=hop, centred=centred))
    expected = MelSpec(sample_rate_hz=rate_hz, hop_length=hop, centred=centred).num_frames(samples)
    assert pitch.values.shape == (1, expected, 2)
    assert pitch.lengths.tolist() == [expected]
    assert pitch.values.isfinite().all()


def test_a_batch_gives_what_its_items_give() -> None:
    waves = [tone(120, 0.4), tone(220, 0.2)]
    together = pitch_frames(Waveform.batch(waves), MEL)
    assert together.lengths.tolist() == [41, 21]
    for index, wave in enumerate(waves):
        assert torch.equal(together[index].values, pitch_frames(wave, MEL).values)
    assert not together.values[1, 21:].any()


def test_the_mean_is_over_voiced_frames_of_all_recordings_and_reads_no_padding() -> None:
    values = torch.tensor([[[1.0, 1], [0, 0], [3, 1]], [[-1, 1], [99, 1], [math.nan, 1]]])
    mean = mean_log_hz(Frames(values, torch.tensor([3, 1])))
    assert mean.shape == (1,)
    assert mean.item() == pytest.approx(1.0 * PITCH_SCALE + math.log(200))


@pytest.mark.parametrize("f0_hz", [45.0, 60.0, 120.0, 440.0, 700.0, 1050.0])
def test_the_range_goes_from_a_creak_to_a_cry(f0_hz: float) -> None:
    found = in_hz(pitch_frames(tone(f0_hz, 1.0), MEL))
    assert found.shape[0] > 60
    assert ((found / f0_hz - 1).abs() < 0.03).float().mean() > 0.9
