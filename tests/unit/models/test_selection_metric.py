"""What makes an epoch better than another, and what a recipe must have for it."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

import vczoo
from vczoo.errors import CorpusError, RecipeError, VczooError, WeightsError
from vczoo.models.build import checked_recipe
from vczoo.models.selection_metric import Criterion, best_epoch, check_criterion, needs_conversions, score

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


@pytest.mark.parametrize("criterion", ["loss", "accuracy", "similarity", "character-error"])
def test_nan_is_never_the_best(criterion: Criterion) -> None:
    names = {"loss": "loss", "accuracy": "speaker.accuracy", "similarity": "similarity"}
    bad = FIGURES | {names.get(criterion, "character_error"): math.nan}
    assert score(FIGURES, criterion) < score(bad, criterion)
    history = [{"epoch": epoch, "validation": figures} for epoch, figures in enumerate((bad, FIGURES, bad))]
    assert best_epoch(history, criterion, "best") == 1


def test_a_figure_that_is_not_there_cannot_decide() -> None:
    with pytest.raises(VczooError, match=r"criterion is accuracy, but validation only measures loss, voice.l1;"):
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
    assert any(f.startswith("training.criterion: accuracy needs a speaker head") for f in error.value.faults)
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
    with pytest.raises(CorpusError, match=r"outside the training set: carol. Mark some recordings of alice"):
        vczoo.finetune("demo", tmp_path / "manifest.csv", tmp_path / "run", told, progress=False)
    assert not (tmp_path / "run").exists()
    check_criterion("demo", "accuracy", tasks={"speaker"}, speakers=["alice", "carol"], validated={"carol"})
    # A label head is asked about utterances, whoever speaks.
    check_criterion("demo", "accuracy", tasks={"speaker", "label"}, speakers=["alice"], validated={"carol"})


def test_a_run_without_the_head_is_refused_too(tmp_path: Path, run_folder: Path, voices_folder: Path) -> None:
    """The overrides of a run are not checked as a recipe's are."""
    with pytest.raises(RecipeError, match=r"training.criterion: accuracy needs a speaker head or a label head"):
        check_criterion("x", "accuracy", tasks={"voice"}, speakers=["a"], validated={"a"})
    with pytest.raises(RecipeError, match=r"training.criterion: similarity is measured on conversions"):
        check_criterion("x", "similarity", tasks={"speaker"}, speakers=["a"], validated={"a"})


def test_without_a_speaker_model_nothing_begins(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "resemblyzer"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    for criterion in ("similarity", "character-error"):
        told = [*small, f"training.criterion={criterion}"]
        with pytest.raises(WeightsError, match=r"no speaker model is available\. Two ways out"):
            vczoo.finetune("demo", voices_folder, tmp_path / "run", told, progress=False)
    assert not (tmp_path / "run").exists()
