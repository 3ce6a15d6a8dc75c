"""Perturbation of mels: what it moves, by how much, worked by hand; and where it moves nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from vczoo.audio.mel import mel_filters
from vczoo.audio.specs import MelSpec
from vczoo.modules.nn import perturbation
from vczoo.modules.nn.perturbation import Perturbation

SPEC = MelSpec()
NATS = 5.0


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing but what a test asks for is perturbed, and that by the most: whatever is drawn is 1."""

    def only(**constants: float) -> None:
        for name in ("FORMANTS", "PITCH", "COLOR_NATS", "LEVEL_NATS", "NOISY", "NARROW", "ROOMS"):
            monkeypatch.setattr(perturbation, name, constants.get(name, 0.0))
        monkeypatch.setattr(torch, "rand", lambda *shape, device=None: torch.ones(*shape, device=device))
        monkeypatch.setattr(torch, "randn", lambda *shape, device=None: torch.ones(shape, device=device))

    return only


def perturbed(mel: Tensor, strength: float = 1.0) -> Tensor:
    found: Tensor = Perturbation(SPEC, nats=NATS, strength=strength).train()(mel)
    return found


def centres_hz() -> Tensor:
    filters = mel_filters(SPEC)
    bins = torch.linspace(0, SPEC.sample_rate_hz / 2, len(filters))
    return (filters * bins[:, None]).sum(dim=0) / filters.sum(dim=0)


def bump(hz: float) -> Tensor:
    """(1, num_mels, 1): a formant there, a dozen bands wide, over near silence."""
    bands = torch.arange(SPEC.num_mels)
    place = torch.searchsorted(centres_hz(), torch.tensor(hz))
    return (torch.exp(-(((bands - place) / 7) ** 2)) - 0.9)[None, :, None]


def peak_hz(mel: Tensor) -> float:
    """Where it is loudest: the top of the parabola through the loudest band and its neighbours."""
    bands, centres = mel[0, :, 0], centres_hz()
    top = int(bands.argmax())
    before, here, after = bands[top - 1 : top + 2].tolist()
    off = (before - after) / (before - 2 * here + after) / 2
    return float(centres[top] + off * (centres[top + 1] - centres[top]))


def test_it_is_the_identity_in_eval_and_at_strength_0() -> None:
    mel = torch.randn(2, 80, 12)
    assert Perturbation(SPEC, nats=NATS, strength=1.0).eval()(mel) is mel
    assert Perturbation(SPEC, nats=NATS, strength=0.0).train()(mel) is mel
    assert not torch.equal(perturbed(mel), mel)


def test_envelope_and_rest_add_up_to_what_came_in(alone: Any) -> None:
    alone()
    mel = torch.linspace(-30, 30, 240).sin().view(1, 80, 3)
    torch.testing.assert_close(perturbed(mel), mel, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("before_hz", "ratio"), [(1000.0, 1.25), (2000.0, 1.25), (3000.0, 0.8)])
def test_a_warp_moves_a_band_to_the_frequency_that_it_says(alone: Any, before_hz: float, ratio: float) -> None:
    """1000 Hz by 1.25 is 1250 Hz; a band is about a twentieth of that wide."""
    alone(FORMANTS=math.log(ratio), PITCH=math.log(ratio))
    formant = bump(before_hz)
    found = peak_hz(perturbed(formant)) / peak_hz(formant)
    assert found == pytest.approx(ratio, rel=0.04)


def test_formants_move_without_the_harmonics_and_harmonics_without_the_formants(alone: Any) -> None:
    formant = bump(1000.0)
    ripple = 0.2 * torch.cos((torch.arange(80) + 0.5) * math.pi * 60 / 80)[None, :, None]  # every 2.7 bands
    smooth, fine = formant.expand(-1, -1, 2), ripple.expand(-1, -1, 2)
    alone(FORMANTS=math.log(1.25))
    assert peak_hz(perturbed(smooth)) == pytest.approx(1.25 * peak_hz(smooth), rel=0.05)
    torch.testing.assert_close(perturbed(fine), fine, atol=1e-4, rtol=0)
    alone(PITCH=math.log(1.25))
    assert peak_hz(perturbed(smooth)) == pytest.approx(peak_hz(smooth), rel=0.02)
    assert float((perturbed(fine) - fine).abs().mean()) > 0.05


def test_half_the_strength_moves_half_as_far(alone: Any) -> None:
    alone(FORMANTS=math.log(1.44), PITCH=math.log(1.44))
    formant = bump(1000.0)
    assert peak_hz(perturbed(formant, 0.5)) / peak_hz(formant) == pytest.approx(1.2, rel=0.04)


def test_the_level_moves_every_band_alike(alone: Any) -> None:
    """.7 nats where one unit is 5 of them: .14; half of it at half the strength."""
    alone(LEVEL_NATS=0.7)
    mel = torch.zeros(1, 80, 4)
    for strength, expected in ((1.0, 0.14), (0.5, 0.07)):
        torch.testing.assert_close(perturbed(mel, strength), torch.full_like(mel, expected), atol=1e-5, rtol=0)


def test_the_colour_is_smooth_and_the_same_at_all_times(alone: Any) -> None:
    alone(COLOR_NATS=0.5)
    colour = perturbed(torch.zeros(1, 80, 4))
    assert torch.equal(colour[..., 0], colour[..., 3])
    steps = colour[0, :, 0].diff().abs()
    assert 0 < float(steps.max()) < 0.1
    assert float(colour.std()) > 0.02


def test_noise_fills_what_was_silent_and_leaves_what_was_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FORMANTS": 0, "PITCH": 0, "COLOR_NATS": 0, "LEVEL_NATS": 0, "NOISY": 1, "NARROW": 0}.items():
        monkeypatch.setattr(perturbation, name, float(value))
    mel = torch.full((8, 80, 20), -1.0)
    mel[..., :10] = 0.6  # 8 nats above the floor
    found = perturbed(mel)
    assert float(found[..., 10:].mean(dim=(1, 2)).min()) > -0.9
    torch.testing.assert_close(found[..., :10], mel[..., :10], atol=0.25, rtol=0)


def test_a_telephone_carries_the_middle_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "FORMANTS": 0,
        "PITCH": 0,
        "COLOR_NATS": 0,
        "LEVEL_NATS": 0,
        "NOISY": 0,
        "NARROW": 1,
        "ROOMS": 0,
    }.items():
        monkeypatch.setattr(perturbation, name, float(value))
    mel = torch.full((16, 80, 3), 0.2)
    found, hz = perturbed(mel), centres_hz()
    middle = (hz > 300) & (hz < 3400)
    torch.testing.assert_close(found[:, middle], mel[:, middle], atol=1e-5, rtol=0)
    assert bool((found[:, hz > 4000] == -1).all())
    edge = found[:, (hz > 3400) & (hz < 4000)]
    assert 0 < int((edge == -1).sum()) < edge.numel()
    assert torch.equal(perturbed(mel, 0.0), mel)


def test_a_room_adds_a_tail_that_falls_by_60_db(alone: Any) -> None:
    alone(ROOMS=2.0)  # and the most of everything drawn: 0.9 s, 0.2 nats above the direct sound
    click = torch.full((1, SPEC.num_mels, 60), -1.0)
    click[..., 5] = 1.0
    nats = (perturbed(click)[0, 0] + 1) * NATS
    slope = -6 * math.log(10) / 2 / (0.9 * SPEC.frame_rate_hz)
    torch.testing.assert_close(nats[7:50] - nats[6:49], torch.full((43,), slope), rtol=1e-2, atol=1e-3)
    assert float(nats[5]) == pytest.approx(2 * NATS, abs=1e-4)
    powers = (2 * nats).exp() - 1
    assert float(powers[6:56].sum() / powers[5]) == pytest.approx(math.exp(0.4), rel=0.01)
    torch.testing.assert_close(nats[:5], torch.zeros(5), atol=1e-4, rtol=0)


def test_silence_stays_finite_and_nothing_falls_below_it() -> None:
    for mel in (torch.full((64, 80, 6), -1.0), torch.randn(64, 80, 6) * 3):
        found = perturbed(mel)
        assert bool(found.isfinite().all())
        assert float(found.min()) >= -1


def test_each_item_is_another_speaker() -> None:
    mel = bump(1000.0).expand(3, -1, 5)
    found = perturbed(mel)
    assert not torch.allclose(found[0], found[1], atol=0.01)


def test_it_keeps_nothing_in_a_file_of_weights() -> None:
    assert Perturbation(SPEC, nats=NATS, strength=1.0).state_dict() == {}
