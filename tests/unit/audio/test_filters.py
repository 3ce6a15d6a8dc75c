"""Shelves, noise and mel filters, against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vczoo.audio.filterbank import mel_filter_bank
from vczoo.audio.filters import add_noise, shelf


def gain_db(hz: float, *, high: bool) -> float:
    samples = torch.from_numpy(np.sin(2 * math.pi * hz * np.arange(16000) / 16000).astype(np.float32))
    filtered = shelf(samples, 16000, 6.0, 1000.0, high=high)
    return float(20 * torch.log10(filtered[8000:].square().mean().sqrt() / samples[8000:].square().mean().sqrt()))


@pytest.mark.parametrize("high", [False, True])
def test_a_shelf_raises_its_side_and_half_at_the_corner(high: bool) -> None:
    assert gain_db(20.0, high=high) == pytest.approx(0.0 if high else 6.0, abs=0.1)
    assert gain_db(1000.0, high=high) == pytest.approx(3.0, abs=0.1)
    assert gain_db(7900.0, high=high) == pytest.approx(6.0 if high else 0.0, abs=0.1)


def test_noise_has_the_ratio_asked_for() -> None:
    generator = torch.Generator().manual_seed(0)
    samples, noise = torch.randn(2, 4000, generator=generator), torch.randn(2, 4000, generator=generator)
    added = add_noise(samples, noise, 20.0) - samples
    ratio = samples.square().sum(-1) / added.square().sum(-1)
    torch.testing.assert_close(10 * torch.log10(ratio), torch.tensor([20.0, 20.0]), rtol=0, atol=0.01)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("slaney_norm", [False, True])
@pytest.mark.parametrize(
    ("bins", "low", "high", "mels", "rate"), [(513, 0, 8000, 80, 16000), (513, 80, 7600, 100, 24000)]
)
def test_mel_filters_are_librosas(
    scale: str, slaney_norm: bool, bins: int, low: float, high: float, mels: int, rate: int
) -> None:
    librosa = pytest.importorskip("librosa")
    expected = librosa.filters.mel(
        sr=rate,
        n_fft=2 * (bins - 1),
        n_mels=mels,
        fmin=low,
        fmax=high,
        htk=scale == "htk",
        norm="slaney" if slaney_norm else None,
    ).T
    actual = mel_filter_bank(bins, low, high, mels, rate, scale=scale, slaney_norm=slaney_norm)
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-5 if not slaney_norm else 1e-7)
