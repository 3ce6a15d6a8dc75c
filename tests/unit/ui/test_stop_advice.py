from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from vczoo.ui.stop_advice import noise, stop_advice


def curve(validation: Sequence[float], train: Sequence[float] = (), **others: Sequence[float]) -> list[dict[str, Any]]:
    """Records of metrics.jsonl."""
    train = train or validation
    return [
        {
            "train": {"loss": train[epoch]},
            "validation": {"loss": loss} | {name: values[epoch] for name, values in others.items()},
        }
        for epoch, loss in enumerate(validation)
    ]


FALLING = [1.0, 0.8, 0.65, 0.55, 0.48, 0.43]
WOBBLE = [0.01 * (-1) ** epoch for epoch in range(20)]


def test_six_epochs_come_first() -> None:
    advice = stop_advice(curve([1.0, 0.9, 0.8]))
    assert not advice.stop
    assert "3 are done" in advice.reason


def test_a_falling_loss_goes_on() -> None:
    advice = stop_advice(curve(FALLING))
    assert not advice.stop
    assert advice.reason.startswith("Still improving")
    assert "held-out loss 0.817 → 0.487" in advice.reason


def test_a_level_loss_stops() -> None:
    advice = stop_advice(curve([0.5 + wobble for wobble in WOBBLE]))
    assert advice.stop
    assert "nothing moves beyond its noise" in advice.reason


def test_a_rising_loss_while_training_falls_is_overtraining() -> None:
    validation = [0.5, 0.45, 0.43, 0.44, 0.47, 0.51, 0.56]
    advice = stop_advice(curve(validation, train=[1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2]))
    assert advice.stop
    assert "by heart" in advice.reason
    assert "while the training loss still falls" in advice.reason


def test_a_rising_loss_of_both_is_getting_worse() -> None:
    rising = [0.5, 0.55, 0.6, 0.7, 0.8, 0.9]
    advice = stop_advice(curve(rising, train=rising))
    assert advice.stop
    assert "getting worse" in advice.reason


def test_similarity_that_rises_outweighs_a_level_loss() -> None:
    similarity = [0.70, 0.74, 0.77, 0.80, 0.82, 0.84]
    advice = stop_advice(curve([0.5] * 6, similarity=similarity))
    assert not advice.stop
    assert "similarity 0.737 → 0.820" in advice.reason


def test_characters_count_downwards() -> None:
    advice = stop_advice(curve([0.5] * 6, character_error=[0.30, 0.27, 0.24, 0.21, 0.18, 0.15]))
    assert not advice.stop
    assert "wrong characters 0.270 → 0.180" in advice.reason


def test_without_held_out_speech_it_says_so() -> None:
    records = [{"train": {"loss": 1.0}, "validation": {}}] * 6
    assert "no held-out speech" in stop_advice(records).reason


def test_noise_is_measured_around_a_trend() -> None:
    assert noise([1.0, 0.9, 0.8, 0.7, 0.6]) == pytest.approx(0.0, abs=1e-12)
    # A wobble of 0.01 has second differences of 0.04.
    assert noise([1.0 + wobble for wobble in WOBBLE]) == pytest.approx(0.04 / (0.6745 * math.sqrt(6)))
