"""Learning from a teacher: the head's loss, recipes that have a teacher and those that do not, runs, and the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import vczoo
from tests.support.recipes import TAUGHT
from vczoo.io.progress import NullProgress
from vczoo.training.features import features as features_module
from vczoo.training.features.activations import run_prefix


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "pupil.yaml").write_text(TAUGHT)
    return tmp_path / "pupil.yaml"


@pytest.fixture(scope="module")
def taught_folder(tmp_path_factory: pytest.TempPathFactory, voices_folder: Path) -> Path:
    """A run that has learnt from the teacher, and `cache` beside it. Read only."""
    folder = tmp_path_factory.mktemp("teacher_frames")
    (folder / "pupil.yaml").write_text(TAUGHT)
    vczoo.finetune(folder / "pupil.yaml", voices_folder, folder / "run", cache=folder / "cache", progress=False)
    return folder / "run"


def test_what_the_teacher_hears_is_kept(
    taught_folder: Path, voices_folder: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """Another pupil, other settings of training: the teacher has been heard already."""
    heard: list[str] = []

    def counted(backbone: Any, waves: Any, depth: int) -> Any:
        heard.extend([type(backbone).__name__] * len(waves))
        return run_prefix(backbone, waves, depth)

    monkeypatch.setattr(features_module, "run_prefix", counted)
    cache = taught_folder.parent / "cache"
    recipe = taught_folder.parent / "pupil.yaml"
    vczoo.finetune(recipe, voices_folder, tmp_path / "a", ["training.epochs=1"], cache=cache, progress=False)
    assert "MelConv" not in heard
    other = ["training.epochs=1", "backbone.width=8", "heads.distil.cosine_weight=0.5"]
    heard.clear()
    vczoo.finetune(recipe, voices_folder, tmp_path / "b", other, cache=False, progress=False)
    assert heard.count("MelConv") > 18  # without a cache in every epoch, and for each evaluation


def test_the_teacher_is_heard_before_the_first_step_and_watched(
    recipe: Path, voices_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def noted(backbone: Any, waves: Any, depth: int) -> Any:
        events.append(type(backbone).__name__)
        return run_prefix(backbone, waves, depth)

    monkeypatch.setattr(features_module, "run_prefix", noted)
    monkeypatch.setattr(NullProgress, "step", lambda self, loss: events.append("step"))
    monkeypatch.setattr(NullProgress, "hearing", lambda self, done, total: events.append(f"{done} of {total}"))
    vczoo.finetune(recipe, voices_folder, tmp_path / "run", ["training.epochs=1"], cache=tmp_path / "c", progress=False)
    first, last = events.index("step"), len(events) - events[::-1].index("step")
    assert set(events[first:last]) == {"step"}
    corpus = vczoo.read_corpus(voices_folder)
    count = len(corpus.split("train")) + len(corpus.split("validation"))
    teachers = events[events.index("MelConv") : first]
    assert teachers[-1] == f"{count} of {count}"


def test_a_learning_rate_is_found_for_it(recipe: Path, voices_folder: Path) -> None:
    found = vczoo.find_learning_rate(recipe, voices_folder, steps=40, cache=False, progress=False)
    assert found.losses[0] > 0.5
    assert min(found.losses) < found.losses[0]


def test_the_command_says_what_it_is(recipe: Path, voices_folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from vczoo.cli.app import app

    words = ["train", str(recipe), "--data", str(voices_folder), "--out", str(tmp_path / "run"), "training.epochs=1"]
    done = CliRunner().invoke(app, [*words, "--no-cache"])
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'run'}: no voices; use it as a pretrained backbone" in done.stdout
