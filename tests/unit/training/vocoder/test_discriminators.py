"""Discriminators: what they see and say, losses worked by hand, and that they learn to tell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from vczoo.errors import ContractError
from vczoo.training.vocoder.discriminators import (
    COARSE,
    Discriminators,
    PatchDiscriminator,
    PeriodDiscriminator,
    SpectrumDiscriminator,
    Verdict,
    discriminator_loss,
    feature_distance,
    generator_loss,
)
from vczoo.training.vocoder.spectral_losses import Resolution


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def verdicts(*scores: list[float]) -> list[Verdict]:
    return [Verdict(torch.tensor([row]), ()) for row in scores]


def test_shapes_of_a_period_discriminator() -> None:
    """1,000 samples at period 3 are 334 rows; strides of 3 leave 112, 38, 13, 5 and 5 of them."""
    verdict = PeriodDiscriminator(3, channels=2)(torch.randn(2, 1000))
    assert [tuple(seen.shape) for seen in verdict.features] == [
        (2, 2, 112, 3),
        (2, 8, 38, 3),
        (2, 32, 13, 3),
        (2, 64, 5, 3),
        (2, 64, 5, 3),
        (2, 1, 5, 3),
    ]
    assert verdict.scores.shape == (2, 15)


def test_a_period_discriminator_sees_each_offset_apart() -> None:
    """What changes at one offset of the period changes scores of that column alone."""
    discriminator = PeriodDiscriminator(5, channels=2)
    samples = torch.randn(1, 1000)
    other = samples.clone()
    other[0, 2::5] += 1
    changed = (discriminator(samples).features[-1] - discriminator(other).features[-1]).abs().amax(dim=(0, 1, 2))
    assert changed[[0, 1, 3, 4]].tolist() == [0, 0, 0, 0]
    assert float(changed[2].detach()) > 0


def test_shapes_of_a_spectrum_discriminator() -> None:
    """Frequency is halved three times, from 33 bins; time is kept: 1 + 1000 // 16 frames."""
    verdict = SpectrumDiscriminator(Resolution(64, 16, 32), channels=2)(torch.randn(2, 1000))
    assert [tuple(seen.shape) for seen in verdict.features] == [
        (2, 2, 63, 33),
        (2, 2, 63, 17),
        (2, 2, 63, 9),
        (2, 2, 63, 5),
        (2, 2, 63, 5),
        (2, 1, 63, 5),
    ]
    assert verdict.scores.shape == (2, 315)


def test_shapes_of_a_coarse_discriminator() -> None:
    """Frames are halved three times, from 63; bins by 4, 2, 2 and 2, from 33."""
    verdict = PatchDiscriminator(Resolution(64, 16, 32), channels=2)(torch.randn(2, 1000))
    assert [tuple(seen.shape) for seen in verdict.features] == [
        (2, 2, 32, 9),
        (2, 4, 16, 5),
        (2, 8, 8, 3),
        (2, 8, 8, 2),
        (2, 1, 8, 2),
    ]
    assert verdict.scores.shape == (2, 16)


def test_coarse_ones_are_of_spectra_alone_and_small() -> None:
    found = Discriminators(8, periods=(), resolutions=COARSE, coarse=True)
    assert [type(one) for one in found.each] == [PatchDiscriminator, PatchDiscriminator]
    assert sum(parameter.numel() for parameter in found.parameters()) < 1e5
    assert [type(one) for one in Discriminators(1, periods=(), resolutions=COARSE).each] == [SpectrumDiscriminator] * 2


def test_as_published_there_are_eight_with_41_million_parameters() -> None:
    """HiFi-GAN's five have 41.1 M; UnivNet's three, with weight norm's own, the rest."""
    found = Discriminators()
    counts = [sum(parameter.numel() for parameter in one.parameters()) for one in found.each]
    assert len(counts) == 8
    assert sum(counts[:5]) == pytest.approx(41.1e6, rel=0.01)
    assert sum(counts[5:]) == pytest.approx(0.28e6, rel=0.02)


def test_losses_of_least_squares_by_hand() -> None:
    real, made = verdicts([1.0, 0.5], [2.0]), verdicts([0.0, 0.5], [-1.0])
    # First: (0 + .25) / 2 + (0 + .25) / 2 = .25. Second: 1 + 1 = 2.
    assert float(discriminator_loss(real, made, "least-squares")) == pytest.approx((0.25 + 2) / 2)
    # First: (1 + .25) / 2. Second: 4.
    assert float(generator_loss(made, "least-squares")) == pytest.approx((0.625 + 4) / 2)


def test_losses_of_hinge_by_hand() -> None:
    real, made = verdicts([1.0, 0.5], [2.0]), verdicts([0.0, 0.5], [-1.5])
    # First: (0 + .5) / 2 + (1 + 1.5) / 2 = 1.5. Second: 0 + 0.
    assert float(discriminator_loss(real, made, "hinge")) == pytest.approx(1.5 / 2)
    # First: (1 + .5) / 2. Second: 2.5.
    assert float(generator_loss(made, "hinge")) == pytest.approx((0.75 + 2.5) / 2)
    assert float(generator_loss(verdicts([1.0, 4.0]), "hinge")) == 0


def test_distance_of_features_by_hand() -> None:
    """Means over a layer, summed over layers, averaged over discriminators; the real ones get no gradient."""
    real = torch.tensor([[1.0, 2.0]], requires_grad=True)
    made = torch.tensor([[2.0, 4.0]], requires_grad=True)
    score = torch.zeros(1, 1)
    found = feature_distance(
        [Verdict(score, (real, real)), Verdict(score, (real,))], [Verdict(score, (made, real)), Verdict(score, (made,))]
    )
    assert float(found.detach()) == pytest.approx((1.5 + 0 + 1.5) / 2)
    found.backward()
    assert made.grad is not None
    assert made.grad.tolist() == [[0.5, 0.5]]
    assert real.grad is None or not real.grad.any()  # `real` was shown once, too: where both are equal


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("objective", ["least-squares", "hinge"])
def test_they_learn_to_tell_and_a_waveform_learns_to_deceive(objective, coarse) -> None:
    periods = () if coarse else (2, 3)
    discriminators = Discriminators(2, periods=periods, resolutions=(Resolution(64, 16, 32),), coarse=coarse)
    real, noise = torch.sin(torch.arange(800) * 0.3).expand(2, -1), 0.3 * torch.randn(2, 800)
    optimizer = torch.optim.Adam(discriminators.parameters(), lr=0.01)
    told = []
    for _ in range(30):
        loss = discriminator_loss(discriminators(real), discriminators(noise), objective)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        told.append(float(loss.detach()))
    assert told[-1] < 0.3 * told[0]
    assert all(parameter.grad is not None for parameter in discriminators.parameters())
    made = torch.nn.Parameter(noise.clone())
    optimizer = torch.optim.Adam([made], lr=0.05)
    deceived = []
    for _ in range(60 if coarse else 15):  # patches tell less apart
        loss = generator_loss(discriminators(made), objective)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        deceived.append(float(loss.detach()))
    assert deceived[-1] < (0.85 if coarse else 0.7) * deceived[0]


@pytest.mark.parametrize("options", [{"channels": 0}, {"periods": (), "resolutions": ()}])
def test_there_must_be_something_to_look_with(options) -> None:
    with pytest.raises(ContractError, match="at least one channel and a period or a resolution"):
        Discriminators(**options)
