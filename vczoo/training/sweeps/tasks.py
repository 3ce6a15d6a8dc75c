"""The tasks of a sweep's processes and their outcomes. Both contain only plain values, so that they travel as JSON."""

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
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import RunError, VczooError
from vczoo.io.lock import held
from vczoo.io.progress import NullProgress
from vczoo.runs.run import is_run
from vczoo.runs.run_folder import load_run
from vczoo.training.checkpoints.checkpoint import CHECKPOINT
from vczoo.training.features.activations import frozen_depth
from vczoo.training.features.frozen_stages import run_frozen
from vczoo.training.finetune import finetune
from vczoo.training.session import TrainingSession
from vczoo.training.sweeps.pruning import Pause, Paused
from vczoo.training.sweeps.scoring import SimilarityScorer
from vczoo.training.training_folder import LOCK

__all__ = ["CellGroup", "Outcome", "Task", "perform"]


@dataclass(frozen=True)
class CellGroup:
    """A recipe's name or file, its overrides, and the most minutes of training speech per speaker."""

    source: str
    overrides: dict[str, Any]
    minutes: float | None


@dataclass(frozen=True)
class Task:
    """The work of one process.

    Attributes:
        kind: `fill` runs the frozen stages that several cells share, `train` trains a cell, and `listen` measures the
            conversions of cells.
        name: The name of the cell, or of the task itself.
        lessons: What to train on: one entry for a cell, or one for each cell whose frozen stages run.
        data: The path of the manifest.
        folders: The folder of the cell's run, or of the runs to measure.
        cache: Where the outputs of the frozen stages are kept, as for `finetune`.
        device: The device to use, as for `finetune`.
        threads: The number of torch's threads.
        resume: Whether to resume a checkpoint in the folder, rather than remove it.
        pause_after: The number of epochs after which a cell pauses; 0 to train it to the end.
        lists: The folder of the trial list that conversions are measured on.
        after: The names of tasks that must end first.
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
    pause_after: int = 0
    lists: str = ""
    after: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """The task as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Task:
        """Rebuild a task from the result of `to_plain`."""
        lessons = tuple(CellGroup(**lesson) for lesson in plain["lessons"])
        return cls(**{**plain, "lessons": lessons, **{name: tuple(plain[name]) for name in ("folders", "after")}})


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task.

    Attributes:
        status: `done`, `failed`, `interrupted`, or `paused` after the epoch that the task names.
        reason: The reason for a failure.
        results: The entries to record for a cell, or for cells by name.
        resumable: Whether the next sweep may resume the checkpoint that is left.
    """

    status: Literal["done", "failed", "interrupted", "paused"]
    reason: str = ""
    results: dict[str, Any] | None = None
    resumable: bool = True


def perform(task: Task) -> Outcome:
    """Run a task. Errors become a failed outcome; only exceptions that end the process are raised."""
    torch.set_num_threads(task.threads)
    work: dict[str, Callable[[Task], dict[str, Any]]] = {"fill": _fill, "train": _train, "listen": _listen}
    try:
        return Outcome("done", results=work[task.kind](task))
    except KeyboardInterrupt:
        return Outcome("interrupted")
    except Paused:
        return Outcome("paused")
    except VczooError as error:
        return Outcome("failed", str(error), resumable=False)
    except Exception as error:  # whatever the error, the other cells continue
        traceback.print_exc(file=sys.stderr)
        return Outcome("failed", f"{type(error).__name__}: {error}", resumable=False)


def _train(task: Task) -> dict[str, Any]:
    """Train a cell or resume it. A cell that is already trained stays as it is."""
    began = time.perf_counter()
    folder, cell = Path(task.folders[0]), task.lessons[0]
    if is_run(folder):
        converter = Converter(load_run(folder), task.device)
    else:
        resume = task.resume and (folder / CHECKPOINT).is_file()
        if folder.is_symlink():
            raise RunError(f"{folder} is a link, but the run needs a real folder there; remove the link")
        if folder.exists() and not resume:
            with held(folder / LOCK, what="another training runs here"):  # of a sweep on Ray, or of the user
                shutil.rmtree(folder)
        converter = finetune(
            cell.source,
            task.data,
            folder,
            cell.overrides,
            minutes=cell.minutes,
            resume=resume,
            cache=task.cache,
            device=task.device,
            callbacks=[Pause(task.pause_after)] if task.pause_after else (),
        )
    converts = bool(converter.model.voice_heads)
    seconds = round(time.perf_counter() - began, 2)
    return {"metrics": converter.metrics, "converts": converts, "process_seconds": seconds}


def _listen(task: Task) -> dict[str, Any]:
    """Measure the conversions of several cells, with measuring models that are loaded once."""
    scorer = SimilarityScorer(Path(task.lists))
    results: dict[str, Any] = {"yardsticks": scorer.yardsticks(), "cells": {}}
    for folder in map(Path, task.folders):
        try:
            figures, notes = scorer.figures(Converter(load_run(folder), task.device))
            results["cells"][folder.name] = {"conversions": figures, "notes": notes}
        except Exception as error:  # the cell is still trained, and the others are measured
            traceback.print_exc(file=sys.stderr)
            results["cells"][folder.name] = {"notes": [f"similarity could not be measured: {error}"]}
    return results


def _fill(task: Task) -> dict[str, Any]:
    """Fill the feature cache for several cells; each frozen stage and teacher sees each recording once."""
    corpus, count = read_corpus(task.data), 0
    for group in task.lessons:
        try:
            with TrainingSession.open(
                group.source, corpus, group.overrides, minutes=group.minutes, cache=task.cache, device=task.device
            ) as session:
                count += _run_frozen_stages(session)
        except VczooError as error:  # its cells report it, too; the others go on
            sys.stderr.write(f"{group.source}: the frozen stages do not run ahead: {error}\n")
    return {"recordings": count}


def _run_frozen_stages(session: TrainingSession) -> int:
    """Cache the outputs of a session's frozen stages and of its teacher; return how many recordings ran, per depth."""
    model, freezing, features = session.model, session.freezing, session.features
    model.eval()
    freezing.prepare(model)
    distinct = freezing.distinct_epochs(len(model.backbone.stages()), session.settings.epochs)
    depths = {frozen_depth(freezing.apply(model, epoch)) for epoch in distinct}
    splits = session.splits.values()
    count = sum(run_frozen(splits, depth, NullProgress(), session.team) for depth in sorted(depths))
    if features.signals:  # a backbone whose activations are not cached has not computed these on the way
        for split in splits:
            for clip in split.clips:
                features.pitch(clip.utterance)
                if model.acoustic_mel:
                    features.acoustic(clip.utterance)
        features.flush()
    return count
