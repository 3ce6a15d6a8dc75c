"""Distances of waveforms: worked numbers, silence, short excerpts, and that descending them helps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vczoo.audio.specs import MelSpec
from vczoo.errors import ContractError
from vczoo.training.vocoder.spectral_losses import RESOLUTIONS, MelDistance, Resolution, StftDistance, magnitudes


@pytest.fixture
def noise() -> Tensor:
    """Two excerpts of half a second, loud in every band."""
    return torch.randn(2, 8000, generator=torch.Generator().manual_seed(0)) * 0.2


def test_equal_waveforms_are_at_distance_0(noise: Tensor) -> None:
    assert float(StftDistance()(noise, noise)) == 0
    assert float(MelDistance(MelSpec())(noise, noise)) == 0


@pytest.mark.parametrize("gain", [0.5, 2.0, 1.1])
def test_a_scaled_waveform(noise: Tensor, gain: float) -> None:
    """|1 - g| of convergence and |ln g| of log-magnitude, at every resolution; |ln g| of mels."""
    found = float(StftDistance()(gain * noise, noise))
    assert found == pytest.approx(abs(1 - gain) + abs(math.log(gain)), rel=1e-3)
    assert float(MelDistance(MelSpec())(gain * noise, noise)) == pytest.approx(abs(math.log(gain)), rel=1e-4)


def test_silence_against_a_known_spectrum() -> None:
    """A waveform of one sample has a flat spectrum: the window's value there."""
    resolution = Resolution(16, 16, 16)
    click = torch.zeros(1, 16)
    click[0, 4] = 0.5  # in frame 0, centred on sample 0, it stands at 12 of 16; in frame 1 at -4, outside of it
    window = torch.hann_window(16)
    spectrum = magnitudes(click, resolution, window)
    assert spectrum.shape == (1, 9, 2)
    assert spectrum[0, :, 0].tolist() == pytest.approx([0.5 * float(window[12])] * 9, abs=1e-6)
    floor = math.sqrt(1e-7)
    assert spectrum[0, :, 1].tolist() == pytest.approx([floor] * 9)
    found = float(StftDistance([resolution])(torch.zeros(1, 16), click))
    # Convergence: all of the first frame is missing. Logarithm: the first of two frames is apart.
    first = 0.5 * float(window[12])
    convergence = (first - floor) / math.hypot(first, floor)
    assert found == pytest.approx(convergence + math.log(first / floor) / 2, rel=1e-4)


def test_resolutions_are_averaged(noise: Tensor) -> None:
    other = noise.roll(100, dims=1)
    alone = [float(StftDistance([resolution])(other, noise)) for resolution in RESOLUTIONS]
    assert float(StftDistance()(other, noise)) == pytest.approx(sum(alone) / 3, rel=1e-5)


def test_a_silent_excerpt_in_a_batch_does_no_harm(noise: Tensor) -> None:
    real = torch.stack([noise[0], torch.zeros(8000)])
    made = (real + 0.001 * noise).requires_grad_()
    distance = StftDistance()(made, real) + MelDistance(MelSpec())(made, real)
    distance.backward()
    assert float(distance.detach()) < 10
    assert bool(made.grad.isfinite().all())


@pytest.mark.parametrize("length", [1, 300, 1000])
def test_an_excerpt_may_be_shorter_than_a_window(length: int) -> None:
    found = StftDistance()(torch.zeros(1, length), torch.ones(1, length))
    assert bool(found.isfinite())
    assert float(found) > 0


def test_mels_of_another_logarithm_are_compared_in_nepers(noise: Tensor) -> None:
    natural, decimal = MelSpec(), MelSpec(log_base="10")
    found = [float(MelDistance(spec)(3 * noise, noise)) for spec in (natural, decimal)]
    assert found == pytest.approx([math.log(3)] * 2, rel=1e-3)


def test_half_precision_is_not_used(noise: Tensor) -> None:
    distance = StftDistance()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = distance(0.5 * noise, noise)
    assert low.dtype == torch.float32
    assert float(low) == pytest.approx(float(distance(0.5 * noise, noise)), rel=1e-6)


@pytest.mark.parametrize("kind", ["stft", "mel"])
def test_descending_a_distance_brings_a_waveform_nearer(noise: Tensor, kind: str) -> None:
    distance = StftDistance() if kind == "stft" else MelDistance(MelSpec())
    noise = noise[:, :2000]
    made = torch.nn.Parameter(0.3 * noise.flip(1))
    optimizer = torch.optim.Adam([made], lr=0.01)
    found = []
    for _ in range(20):
        loss = distance(made, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    assert found[-1] < 0.6 * found[0]


@pytest.mark.parametrize("resolutions", [[], [Resolution(512, 600, 512)], [Resolution(512, 0, 100)]])
def test_no_such_resolution(resolutions: list[Resolution]) -> None:
    with pytest.raises(ContractError, match="0 < hop_length <= window_length <= fft_length"):
        StftDistance(resolutions)
