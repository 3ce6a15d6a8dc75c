from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vczoo.audio.mel import LogMel, mel_filters
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.backbones.mel_image import LOUDEST_LOG_MEL

SPECS = [MelSpec(), MelSpec(sample_rate_hz=22050, num_mels=64, fft_length=512, hop_length=128, min_hz=50, max_hz=11025)]


def noise(samples: int, rate_hz: int = 16000, seed: int = 0) -> Waveform:
    return Waveform.of(torch.rand(samples, generator=torch.Generator().manual_seed(seed)) - 0.5, rate_hz)


def hz_of(mel: np.ndarray) -> np.ndarray:
    """Slaney's scale: linear below 1 kHz, 15 mels, and logarithmic above."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))


def mel_of(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def log_mel_by_hand(samples: np.ndarray, spec: MelSpec) -> np.ndarray:
    """(S,) -> (1 + S // hop, mels), from the definition in `MelSpec`, float64 numpy alone."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(spec.fft_length) / spec.fft_length)
    padded = np.pad(samples, spec.fft_length // 2)
    starts = np.arange(spec.num_frames(samples.size)) * spec.hop_length
    spectrum = np.abs(np.fft.rfft([padded[start : start + spec.fft_length] * window for start in starts]))
    edges = hz_of(np.linspace(mel_of(spec.min_hz), mel_of(spec.max_hz), spec.num_mels + 2))
    bins = np.linspace(0, spec.sample_rate_hz / 2, spec.fft_length // 2 + 1)[:, None]
    rising, falling = (bins - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - bins) / np.diff(edges)[1:]
    filters = np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    return np.log(np.maximum(spectrum @ filters, spec.floor))


@pytest.mark.parametrize("spec", SPECS, ids=["default", "other"])
def test_log_mel_is_its_definition(spec) -> None:
    wave = noise(5000, spec.sample_rate_hz)
    frames = LogMel(spec)(wave)
    wanted = log_mel_by_hand(wave.samples[0].double().numpy(), spec)
    assert frames.values.shape == (1, 1 + 5000 // spec.hop_length, spec.num_mels)
    np.testing.assert_allclose(frames.values[0].numpy(), wanted, atol=1e-4)


def test_batch_gives_what_its_items_give() -> None:
    items = [noise(4000), noise(8123, seed=1), noise(333, seed=2)]
    mel = LogMel(MelSpec())
    together = mel(Waveform.batch(items))
    assert together.lengths.tolist() == [26, 51, 3]
    for index, item in enumerate(items):
        torch.testing.assert_close(together[index].values, mel(item).values, atol=1e-5, rtol=1e-5)


def test_a_tone_peaks_in_its_band() -> None:
    spec = MelSpec()
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(16000) / 16000)
    middle = LogMel(spec)(Waveform.of(tone, 16000)).values[0, 50]
    centres_hz = hz_of(np.linspace(mel_of(0), mel_of(8000), 82))[1:-1]
    assert int(middle.argmax()) == int(np.abs(centres_hz - 1000).argmin())
    assert float(middle.max()) == pytest.approx(LOUDEST_LOG_MEL, abs=0.3)  # what the image calls white


def test_silence_is_the_floor() -> None:
    frames = LogMel(MelSpec())(Waveform.of(torch.zeros(1600), 16000))
    torch.testing.assert_close(frames.values, torch.full((1, 11, 80), math.log(1e-5)))


def test_every_filter_has_area_one_in_hz() -> None:
    filters = mel_filters(MelSpec(fft_length=8192))
    assert filters.shape == (4097, 80)
    torch.testing.assert_close(filters.sum(dim=0) * 16000 / 8192, torch.ones(80), atol=0.01, rtol=0)


def test_wrong_rate_is_refused() -> None:
    with pytest.raises(ContractError, match=r"expects 16000 Hz, but the waveform has 8000 Hz; call wave\.resample"):
        LogMel(MelSpec())(noise(800, 8000))


def test_autocast_leaves_it_in_float32() -> None:
    wave, mel = noise(1600), LogMel(MelSpec())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = mel(wave).values
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, mel(wave).values)


def test_it_has_nothing_to_save() -> None:
    assert not LogMel(MelSpec()).state_dict()
