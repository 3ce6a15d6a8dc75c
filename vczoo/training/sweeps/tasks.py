"""What one process of a sweep does: a task in, what came of it out. All of both is plain: it travels as JSON."""

from __future__ import annotations

import shutil
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from vczoo.conversion.converter import Converter
from vczoo.data.corpus import Corpus
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import RunError, VczooError
from vczoo.models.build import build_freezing
from vczoo.models.recipe import Recipe, read_recipe
from vczoo.modules.freezing import apply_freezing
from vczoo.runs.run import is_run
from vczoo.runs.run_folder import load_run
from vczoo.runs.warm_start import build_initial_model
from vczoo.training.activations import frozen_depth
from vczoo.training.checkpoint import CHECKPOINT
from vczoo.training.finetune import finetune
from vczoo.training.setup import features_of, segments_by_split
from vczoo.training.sweeps.scoring import SimilarityScorer

__all__ = ["CellGroup", "Outcome", "Task", "perform"]


@dataclass(frozen=True)
class CellGroup:
    """What is trained: a recipe's name or file, overrides, and minutes of each speaker's speech."""

    source: str
    overrides: dict[str, Any]
    minutes: float | None


@dataclass(frozen=True)
class Task:
    """One process' work.

    Attributes:
        kind: fill (run the frozen stages that several cells share), train (a cell) or listen (to conversions of cells).
        name: of the cell, or of the task itself.
        lessons: of the cell, or of those that share stages.
        data: the manifest.
        folders: of the cell's run, or of the runs to listen to.
        cache: as for `finetune`.
        device: as for `finetune`.
        threads: of torch.
        resume: whether a checkpoint in the folder is gone on with, rather than removed.
        lists: where the trial list is that conversions are measured on.
        after: names of tasks that must have ended.
    """

    kind: Literal["fill", "train", "listen"]
    name: str
    lessons: tuple[CellGroup, ...] = ()
    data: str = ""
    folders: tuple[str, ...] = ()
    cache: str | bool = True
    device: str | None = None
    threads: int = 1
    resume: bool = True
    lists: str = ""
    after: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Task:
        """From `to_plain`."""
        lessons = tuple(CellGroup(**lesson) for lesson in plain["lessons"])
        return cls(**{**plain, "lessons": lessons, **{name: tuple(plain[name]) for name in ("folders", "after")}})


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Attributes:
        status: done, failed or interrupted.
        reason: why it failed.
        found: what a cell is recorded with, or cells by their names.
        resumable: whether what is there of a run may be gone on with.
    """

    status: Literal["done", "failed", "interrupted"]
    reason: str = ""
    found: dict[str, Any] | None = None
    resumable: bool = True


def perform(task: Task) -> Outcome:
    """Do it; nothing is raised but what ends the process."""
    torch.set_num_threads(task.threads)
    work: dict[str, Callable[[Task], dict[str, Any]]] = {"fill": _fill, "train": _train, "listen": _listen}
    try:
        return Outcome("done", found=work[task.kind](task))
    except KeyboardInterrupt:
        return Outcome("interrupted")
    except VczooError as error:
        return Outcome("failed", str(error), resumable=False)
    except Exception as error:  # whatever it is, the other cells go on
        traceback.print_exc(file=sys.stderr)
        return Outcome("failed", f"{type(error).__name__}: {error}", resumable=False)


def _train(task: Task) -> dict[str, Any]:
    """Train a cell, or go on with it, or leave it as it is where it is trained already."""
    began = time.perf_counter()
    folder, lesson = Path(task.folders[0]), task.lessons[0]
    if is_run(folder):
        converter = Converter(load_run(folder), task.device)
    else:
        resume = task.resume and (folder / CHECKPOINT).is_file()
        if folder.is_symlink():
            raise RunError(f"{folder} is a link, and a run is to be made there; remove it")
        if folder.exists() and not resume:
            shutil.rmtree(folder)
        converter = finetune(
            lesson.source,
            task.data,
            folder,
            lesson.overrides,
            minutes=lesson.minutes,
            resume=resume,
            cache=task.cache,
            device=task.device,
        )
    converts = bool(converter.model.voice_heads)
    seconds = round(time.perf_counter() - began, 2)
    return {"metrics": converter.metrics, "converts": converts, "process_seconds": seconds}


def _listen(task: Task) -> dict[str, Any]:
    """Measure the conversions of several cells, with ears that are loaded once."""
    listener = SimilarityScorer(Path(task.lists))
    found: dict[str, Any] = {"yardsticks": listener.yardsticks(), "cells": {}}
    for folder in map(Path, task.folders):
        try:
            figures, notes = listener.figures(Converter(load_run(folder), task.device))
            found["cells"][folder.name] = {"conversions": figures, "notes": notes}
        except Exception as error:  # it is trained for all that, and the others are measured
            traceback.print_exc(file=sys.stderr)
            found["cells"][folder.name] = {"notes": [f"similarity could not be measured: {error}"]}
    return found


def _fill(task: Task) -> dict[str, Any]:
    """Run the frozen stages of several cells, each over each recording once, and keep what they give."""
    corpus, made = read_corpus(task.data), 0
    for lesson in task.lessons:
        recipe = read_recipe(lesson.source, lesson.overrides)
        made += _hear(recipe, _part(corpus, lesson.minutes, recipe.training.seed), task)
    return {"recordings": made}


def _part(corpus: Corpus, minutes: float | None, seed: int) -> Corpus:
    return corpus if minutes is None else corpus.within(minutes, seed)


def _hear(recipe: Recipe, corpus: Corpus, task: Task) -> int:
    """How many times some depth of frozen stages was run over a recording."""
    settings, speakers = recipe.training, tuple(corpus.training_seconds())
    device = torch.device(task.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)  # as `finetune` does, so that what is random in the stages is the same
        model = build_initial_model(recipe, len(speakers)).model.to(device).eval()
    freezing = build_freezing(recipe)
    freezing.prepare(model.backbone)
    depths = {frozen_depth(apply_freezing(model.backbone, freezing, epoch)) for epoch in range(settings.epochs)}
    features = features_of(recipe, model, task.cache)
    clips = segments_by_split(features, corpus, speakers, settings)
    made = 0
    for depth in sorted(depths):
        features.at(depth)
        wanted = list(dict.fromkeys(pair for split in clips.values() for pair in split.wanted()))
        for _ in features.fill(wanted):
            pass
        made += len(wanted)
    if features.signals:  # which a backbone whose activations are not kept has not made in passing
        for split in clips.values():
            for clip in split.clips:
                features.pitch(clip.utterance)
                if model.acoustic_mel:
                    features.acoustic(clip.utterance)
        features.flush()
    return made
