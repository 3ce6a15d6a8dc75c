"""What makes an epoch better than another, and what a recipe must have for it."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import vczoo
from vczoo.errors import CorpusError, PluginError, RecipeError, VczooError
from vczoo.io.progress import NullProgress
from vczoo.models.build import checked_recipe
from vczoo.models.selection_metric import best_epoch, check_criterion, needs_conversions, score
from vczoo.training import trainer as loop

FIGURES = {"loss": 2.0, "speaker.accuracy": 0.75, "second.accuracy": 0.25, "similarity": 0.6, "character_error": 0.1}


def test_a_lower_score_is_a_better_epoch() -> None:
    assert score(FIGURES, "loss") == (2.0,)
    assert score(FIGURES, "accuracy") == (-0.5, 2.0)  # of both heads
    assert score(FIGURES, "similarity") == (-0.6, 2.0)
    assert score(FIGURES, "character-error") == (0.1, 2.0)
    better = {"similarity": 0.7, "character_error": 0.05, "speaker.accuracy": 1.0, "loss": 1.9}
    for name, criterion in (("similarity", "similarity"), ("character_error", "character-error"), ("loss", "loss")):
        assert score(FIGURES | {name: better[name]}, criterion) < score(FIGURES, criterion)
    assert score(FIGURES | {"loss": 1.0}, "accuracy") < score(FIGURES, "accuracy")  # between equals
    assert score(FIGURES | {"loss": 9.0, "speaker.accuracy": 1.0}, "accuracy") < score(FIGURES, "accuracy")
    assert [needs_conversions(name) for name in ("loss", "accuracy", "similarity", "character-error")] == [0, 0, 1, 1]


def test_a_figure_that_is_not_there_cannot_decide() -> None:
    with pytest.raises(VczooError, match=r"criterion is accuracy, and validation gives loss, voice.l1 alone"):
        score({"loss": 1.0, "voice.l1": 1.0}, "accuracy")


def test_the_first_of_the_best_epochs_is_kept_or_the_last() -> None:
    rates = [0.5, 1.0, 1.0, 0.75]
    losses = [3.0, 2.0, 2.0, 1.0]
    history = [
        {"epoch": epoch, "validation": {"loss": loss, "speaker.accuracy": rate}}
        for epoch, (loss, rate) in enumerate(zip(losses, rates, strict=True))
    ]
    assert best_epoch(history, "accuracy", "best") == 1
    assert best_epoch(history, "loss", "best") == 3
    assert best_epoch(history, "accuracy", "last") == 3


def test_checking_a_recipe_tells_what_its_criterion_lacks() -> None:
    with pytest.raises(RecipeError) as error:
        checked_recipe("wavlm-knn", ["training.criterion=accuracy", "training.epoch=3"])
    assert len(error.value.faults) == 2
    assert any(f.startswith("training.criterion: accuracy is a speaker head's") for f in error.value.faults)
    with pytest.raises(RecipeError) as error:
        checked_recipe("efficientnet-speaker", ["training.criterion=similarity", "tuning.criterion=character-error"])
    assert [fault.partition(":")[0] for fault in error.value.faults] == ["training.criterion", "tuning.criterion"]
    assert all("this recipe has no voice head" in fault for fault in error.value.faults)
    with pytest.raises(RecipeError, match=r"training.criterion: Input should be 'loss', 'accuracy', 'similarity'"):
        checked_recipe("demo", ["training.criterion=speed"])
    assert checked_recipe("efficientnet-speaker").training.criterion == "accuracy"
    assert checked_recipe("demo").training.criterion == "loss"


def test_strangers_cannot_be_classified(tmp_path: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    rows = ["path,speaker,split"]
    for path in sorted(voices_folder.rglob("*.wav")):
        name = path.parent.name
        rows.append(f"{path},{name},{'validation' if name == 'carol' else 'train'}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    told = [*small, "training.criterion=accuracy"]
    with pytest.raises(CorpusError, match=r"carol are strangers to it. Mark some recordings of alice"):
        vczoo.finetune("demo", tmp_path / "manifest.csv", tmp_path / "run", told, progress=False)
    assert not (tmp_path / "run").exists()
    check_criterion("demo", "accuracy", tasks={"speaker"}, speakers=["alice", "carol"], validated={"carol"})
    # A label head is asked about utterances, whoever speaks.
    check_criterion("demo", "accuracy", tasks={"speaker", "label"}, speakers=["alice"], validated={"carol"})


def test_a_run_without_the_head_is_refused_too(tmp_path: Path, run_folder: Path, voices_folder: Path) -> None:
    """The overrides of a run are not checked as a recipe's are."""
    with pytest.raises(RecipeError, match=r"training.criterion: accuracy is a speaker head's or a label head's"):
        check_criterion("x", "accuracy", tasks={"voice"}, speakers=["a"], validated={"a"})
    with pytest.raises(RecipeError, match=r"training.criterion: similarity is measured on conversions"):
        check_criterion("x", "similarity", tasks={"speaker"}, speakers=["a"], validated={"a"})


def test_without_the_extra_nothing_begins(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "resemblyzer"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    for criterion in ("similarity", "character-error"):
        told = [*small, f"training.criterion={criterion}"]
        with pytest.raises(PluginError, match=r'needs resemblyzer, .*pip install "vczoo\[eval\]"'):
            vczoo.finetune("demo", voices_folder, tmp_path / "run", told, progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("criterion", "keep", "best", "epochs"),
    [
        ("loss", "best", 7, 8),
        ("accuracy", "best", 2, 5),  # the second epoch of the highest accuracy has the lower loss
        ("similarity", "best", 3, 6),
        ("character-error", "best", 0, 3),
        ("character-error", "last", 7, 8),
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
    monkeypatch.setattr("vczoo.training.finetune.ConversionValidator", Ears)
    monkeypatch.setattr("vczoo.training.finetune.leakage_notes", lambda recipe, ears: ())
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
