"""Fine-tuning: `finetune` trains a recipe, or extends a run, and writes a run folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vczoo.conversion.converter import Converter
from vczoo.data.dataset_rows import Dataset
from vczoo.evaluation.measures import Measures
from vczoo.io.precision import single_precision
from vczoo.io.progress import Callback, NullProgress, ProgressBar
from vczoo.models.bundled import find_start
from vczoo.models.selection_metric import best_epoch
from vczoo.modules.backbones.layer_mix import LayerMix
from vczoo.runs.base_run import changed_tensors, reference_to, same_parts
from vczoo.runs.lineage import lineage_from
from vczoo.runs.run import Delta, Run
from vczoo.runs.run_folder import load_run
from vczoo.runs.run_writer import save_run
from vczoo.training.checkpoints.checkpoint import CHECKPOINT, LOG
from vczoo.training.curves import Curves
from vczoo.training.features.frozen_stages import run_frozen
from vczoo.training.objectives.recipe_objectives import objectives_of
from vczoo.training.selection import Selection
from vczoo.training.session import TrainingSession
from vczoo.training.speakers import accuracy_by_age, voice_of
from vczoo.training.step import evaluate
from vczoo.training.tracking import Trackers, check_trackers
from vczoo.training.trainable_model import TrainableModel
from vczoo.training.trainer import Trainer

__all__ = ["finetune"]

Location = str | os.PathLike[str]


@single_precision()
def finetune(
    name: Location,
    data: Location | Dataset | Sequence[Location | Dataset],
    out: Location,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    minutes: float | None = None,
    rehearse: bool = True,
    resume: bool = False,
    cache: Location | bool = True,
    shard: bool = False,
    device: torch.device | str | None = None,
    progress: bool = True,
    log: Sequence[str] = (),
    measures: Measures | None = None,
    speaker: str | None = None,
    callbacks: Sequence[Callback] = (),
) -> Converter:
    """Fine-tune a recipe on recordings, or add speakers to a run.

    Args:
        name: A recipe, a recipe's .yaml file, or a run's folder (`./runs/mine`).
        data: A folder `<speaker>/*.wav`, a .csv or .jsonl manifest, a recording, a `datasets.Dataset`, or several.
        out: The run folder to create.
        overrides: Changes to the recipe, `["training.epochs=3"]` or a mapping; of a run only `training` and `freezing`.
        minutes: The most minutes of training recordings to use per speaker in `data`; None uses all of them.
        rehearse: Whether a run keeps its old speakers, which needs their recordings.
        resume: Whether to resume the interrupted fine-tune in `out`, or train a finished run for more epochs.
        cache: Whether the user's cache (`VCZOO_CACHE`) keeps the outputs of the frozen stages; or another folder.
        shard: Whether each of several processes holds only a part of what trains (FSDP), rather than all (DDP).
        device: The device to train on; by default a GPU if there is one.
        progress: Whether to show progress on standard error.
        log: Trackers that log each epoch: `tensorboard`, `trackio`, `wandb`, `mlflow`.
        measures: Measuring models that are already loaded, for `training.criterion` similarity or character-error.
        speaker: The speaker of the recordings in `data` that are given as files, or that lie directly in a folder.
        callbacks: Further callbacks of the training. If one raises an error, `resume` goes on from the last checkpoint.

    Returns:
        The trained model with a voice for each speaker. Its `metrics` are those of metrics.json.

    Raises:
        CorpusError, RecipeError, UnknownNameError, WeightsError: The recordings or the recipe cannot be used.
        PluginError: A tracker, or a library that the criterion needs, is not installed.
        RunError: `out` exists or cannot be written, another process trains in it, or `resume` does not fit it.
        VczooError: The criterion cannot be measured on these recordings, or the device does not work here.
        KeyboardInterrupt: Training was interrupted. `resume` goes on from its checkpoint; without one, `out` is empty.
    """
    check_trackers(log)
    with TrainingSession.open(
        name,
        data,
        overrides,
        out=out,
        resume=resume,
        minutes=minutes,
        rehearse=rehearse,
        cache=cache,
        shard=shard,
        device=device,
        measures=measures,
        speaker=speaker,
        progress=progress,
    ) as session:
        trivial = session.model.speaker_heads if len(session.speakers) == 1 else ()
        with ProgressBar(trivial) if progress and session.team.is_main_process else NullProgress() as watcher:
            for note in session.notes:
                watcher.say(note)
            trainable = _train(session, watcher, log, callbacks)
        run = session.team.on_main_process(lambda: _finish(session, trainable))
    return Converter(run or load_run(Path(out)), session.team.device)


def _train(
    session: TrainingSession, watcher: ProgressBar | NullProgress, log: Sequence[str], further: Sequence[Callback]
) -> TrainableModel:
    """Train, log each epoch and draw the curves."""
    folder, settings, team, splits = session.folder, session.settings, session.team, session.splits
    assert folder is not None
    trainable = TrainableModel(
        session.model,
        session.freezing,
        settings,
        splits["train"],
        splits["validation"],
        team,
        session.measure_conversions,
        objectives_of(session.recipe, session.freezing),
    )
    callbacks: list[Callback] = [Selection(settings.criterion, settings.keep, settings.patience), watcher]
    if team.is_main_process:
        curves = Curves(folder / LOG, settings.criterion, settings.keep, watcher.say)
        callbacks += [Trackers(log, folder, session.recipe.to_plain()), curves]
    callbacks += further
    Trainer(trainable, folder, callbacks, average=settings.average, state=session.state, team=team).fit()
    if session.features.full:
        watcher.say("the cache is full: some recordings were encoded again in every epoch. Set VCZOO_CACHE_GB higher")
    run_frozen((splits["validation"], splits["test"]), session.features.depth, watcher, team)
    return trainable


def _finish(session: TrainingSession, trainable: TrainableModel) -> Run:
    """Measure the trained model, enroll its speakers, and write the run."""
    model, corpus, features, speakers = session.model, session.corpus, session.features, session.speakers
    start, old, initial, folder = session.start, session.old, session.initial, session.folder
    assert folder is not None
    state, criterion = session.state, session.settings.criterion
    validation = evaluate(model, session.splits["validation"])
    if session.measure_conversions and state.history:
        validation |= session.measure_conversions()
    metrics: dict[str, Any] = {
        "speakers": len(speakers),
        "epochs": len(state.history),
        "best_epoch": best_epoch(state.history, criterion, "best") if state.history else -1,
        "kept_epoch": state.best_epoch,
        "seconds": round(state.seconds, 2),
        "trainable_parameters": trainable.parameters,
        "training_minutes": {name: round(seconds / 60, 2) for name, seconds in corpus.training_seconds().items()},
        "validation": validation,
        "test": evaluate(model, session.splits["test"]),
    }
    if isinstance(model.backbone, LayerMix):
        metrics["layer_mix"] = {name: round(share, 4) for name, share in model.backbone.shares().items()}
    if old:
        before, after = session.accuracy_before, accuracy_by_age(features, corpus, speakers, old.speakers)
        metrics["extension"] = {age: {"before": before[age], "after": after[age]} for age in after}
    # Without a head that keeps something of a voice, it would be empty.
    enrolled = speakers if model.keeps_voices else ()
    voices = {speaker: voice_of(features, corpus, speaker) for speaker in enrolled}
    features.flush()
    minutes = {speaker: round(seconds / 60, 2) for speaker, seconds in corpus.seconds_by_speaker().items()}
    run = Run(
        session.recipe if start else initial.recipe,
        model,
        speakers,
        voices,
        metrics,
        {"fingerprint": state.identity["recordings"], "minutes": minutes},
        # The new run inherits the license of the weights it started from, and the reference to their base.
        licence=initial.licence,
        base=dict(initial.base),
        labels=session.labels if model.label_heads else (),
        # A run that keeps its speakers keeps their voices, and what was stated about them.
        consent=old.consent if old else "",
        lineage=lineage_from(start) if start else initial.lineage,
    )
    run.delta = _delta_of(run, session, trainable.unmerged)
    save_run(run, folder)
    with suppress(OSError):  # the run is complete
        (folder / CHECKPOINT).unlink()
    return run


def _delta_of(run: Run, session: TrainingSession, unmerged: Mapping[str, Tensor]) -> Delta | None:
    """What changed beside the run that training began with; None if the run has to hold the whole model."""
    folder = session.start.folder if session.start else None
    if not session.start and session.recipe.start:
        folder = find_start(session.recipe.start)
    if not unmerged or folder is None:
        return None
    base = load_run(folder)
    if session.start:
        base.lineage, base.revision = session.start.lineage, session.start.revision
    reference = reference_to(base)
    if reference is None or base.delta or not same_parts(run.recipe, base.recipe):
        return None
    return Delta(reference, changed_tensors(unmerged, base.model))
