"""Slow tests of card"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.unit.hub.test_card import FACTS
from vczoo.hub.card import make_card


def test_the_card_of_a_real_run_holds_its_figures(trained_folder: Path) -> None:
    metrics = json.loads((trained_folder / "metrics.json").read_text(encoding="utf-8"))
    card = ModelCard(make_card(replace(FACTS, metrics=metrics, evaluation=None)))
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert found["accuracy"] == pytest.approx(metrics["test"]["speaker.accuracy"], abs=1e-4)
    assert f"| <code>voice.l1</code> | {metrics['validation']['voice.l1']:.4g} |" in card.text
