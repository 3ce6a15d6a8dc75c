"""What makes an epoch better than another, and what a recipe must have for it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import vczoo
from vczoo.io.progress import NullProgress
from vczoo.models.selection_metric import needs_conversions
from vczoo.training import trainable_model as loop


@pytest.mark.parametrize(
    ("criterion", "keep", "best", "epochs"),
    [
        ("loss", "best", 7, 8),
        ("accuracy", "best", 2, 5),  # the second epoch of the highest accuracy has the lower loss
        ("similarity", "best", 3, 6),
        ("character-error", "best", 0, 3),
        ("character-error", "last", 0, 8),  # the last weights are kept, but the first were the best
    ],
)
def test_the_criterion_decides_when_to_stop_and_what_to_keep(
    tmp_path: Path,
    voices_folder: Path,
    small: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    criterion: str,
    keep: str,
    best: int,
    epochs: int,
) -> None:
    losses = iter([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    accuracies = iter([0.5, 1.0, 1.0, 0.75, 0.75, 0.75, 0.75, 0.75, 0, 0])

    def evaluated(*_: object) -> dict[str, float]:
        return {"loss": next(losses, 0.0), "speaker.accuracy": next(accuracies, 0.0)}

    class Ears:
        def __init__(self, *_: object, **__: object) -> None:
            self.heard = iter([(0.5, 0.1), (0.6, 0.2), (0.6, 0.3), (0.9, 0.4), (0.8, 0.5), (0.7, 0.6)])

        def __call__(self) -> dict[str, float]:
            similarity, error = next(self.heard, (0.0, 1.0))
            return {"similarity": similarity, "character_error": error}

    monkeypatch.setattr(loop, "evaluate", evaluated)
    monkeypatch.setattr("vczoo.training.conversion_validation.ConversionValidator", Ears)
    monkeypatch.setattr("vczoo.training.conversion_validation.leakage_notes", lambda recipe, ears: ())
    told = [*small, "training.epochs=8", "training.patience=2", f"training.criterion={criterion}"]
    measures: Any = object()
    converter = vczoo.finetune(
        "demo", voices_folder, tmp_path / "run", [*told, f"training.keep={keep}"], progress=False, measures=measures
    )
    assert (converter.metrics["best_epoch"], converter.metrics["epochs"]) == (best, epochs)
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(("similarity" in record["validation"]) == needs_conversions(criterion) for record in history)


def test_the_best_score_survives_ctrl_c(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Press(NullProgress):
        left = 5

        def step(self, loss: float) -> None:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGINT)

    told = [*small, "training.criterion=accuracy"]
    vczoo.finetune("demo", voices_folder, tmp_path / "whole", told, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr("vczoo.training.finetune.NullProgress", Press)
        with pytest.raises(KeyboardInterrupt):
            vczoo.finetune("demo", voices_folder, tmp_path / "cut", told, progress=False)
    vczoo.finetune("demo", voices_folder, tmp_path / "cut", told, resume=True, progress=False)
    whole, cut = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(whole[name].equal(cut[name]) for name in whole)
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "cut")]
    assert metrics[0]["best_epoch"] == metrics[1]["best_epoch"]
