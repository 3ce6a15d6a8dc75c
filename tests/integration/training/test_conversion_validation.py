"""Held-out utterances in other voices, measured after each epoch by models that are made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vczoo
from tests.unit.training.test_conversion_validation import Scribe, Timbre
from vczoo.evaluation.measures import Measures


@pytest.mark.parametrize("criterion", ["similarity", "character-error"])
def test_a_fine_tune_is_listened_to(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], criterion: str
) -> None:
    ears = Measures(Timbre(), (Scribe("abcd", "abcd", "abcd", "abxd"),))
    told = [*small, f"training.criterion={criterion}"]
    converter = vczoo.finetune("demo", voices_folder, tmp_path / "run", told, progress=False, measures=ears)
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    heard = [record["validation"] for record in history]
    assert [record["character_error"] for record in heard] == [pytest.approx(1 / 4)] * 3
    best = converter.metrics["best_epoch"]
    if criterion == "similarity":
        assert heard[best]["similarity"] == max(record["similarity"] for record in heard)
    else:  # all alike: the loss decides
        assert heard[best]["loss"] == min(record["loss"] for record in heard)
    # What is kept is what was heard in its epoch.
    assert converter.metrics["validation"]["similarity"] == pytest.approx(heard[best]["similarity"], abs=1e-6)
