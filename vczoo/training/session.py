"""Training sessions: everything that is set up and checked before the first step of a training.

`finetune`, `find_learning_rate` and the tasks of a sweep that fill the feature cache all begin here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vczoo.conversion.load import read_name, read_run
from vczoo.data.corpus import Corpus, Split
from vczoo.data.corpus_reader import read_corpus
from vczoo.data.dataset_rows import Dataset
from vczoo.evaluation.measures import Measures
from vczoo.io.device import choose_device
from vczoo.io.status import status
from vczoo.io.tensors import fingerprint as weights_fingerprint
from vczoo.io.tensors import load_strictly
from vczoo.io.text import truncated_list
from vczoo.models.build import build_freezing, checked_recipe
from vczoo.models.model import Model
from vczoo.models.model_freezing import ModelFreezing
from vczoo.models.portability import pinned
from vczoo.models.recipe import Recipe
from vczoo.models.selection_metric import check_criterion, needs_conversions
from vczoo.models.teacher import build_teacher
from vczoo.models.training_settings import Training
from vczoo.runs.run import MANIFEST, Run, is_run
from vczoo.runs.run_folder import load_run
from vczoo.runs.warm_start import build_initial_model, fingerprint_of_start
from vczoo.training.annotation_checks import check_annotations
from vczoo.training.checkpoints.checkpoint import CHECKPOINT, TrainingState
from vczoo.training.checkpoints.finished_run import state_of_run
from vczoo.training.checkpoints.identity import check_identity, identity_of
from vczoo.training.conversion_validation import conversion_validator
from vczoo.training.distributed import DistributedContext
from vczoo.training.features.features import Features
from vczoo.training.features.segments import SegmentBatches
from vczoo.training.optimizer import trainable
from vczoo.training.setup import (
    check_average,
    check_consistency,
    check_shards,
    check_validation,
    check_versions,
    features_of,
    recipe_of_run,
    segments_by_split,
    unmasked_note,
)
from vczoo.training.speakers import accuracy_by_age, training_speakers, with_old_speakers
from vczoo.training.training_folder import check_out, check_shared, training_scope, write_output

__all__ = ["TrainingSession"]

Location = str | os.PathLike[str]


@dataclass
class TrainingSession:
    """A model that is ready to train, with its recordings and the folder that it will be written to.

    Attributes:
        recipe: The recipe with its overrides.
        corpus: The recordings, with those of a run's old speakers.
        speakers: The speakers of the training split, in the order of the logits: a run's old ones come first.
        labels: The labels, in the order of the logits.
        start: The run that is trained further; None for a recipe.
        old: The run whose speakers are kept; None if there is no run, or if it forgets them.
        initial: The model before training, with its license and its lineage.
        model: The model to train, on the device of `team`.
        freezing: The strategies that choose what trains.
        features: The outputs of the frozen stages and of a teacher, with their cache.
        splits: The batches of each split.
        team: The processes that train together.
        folder: The folder to write to; None if nothing is written.
        state: The state to begin with, which names everything that decides the result.
        measure_conversions: Converts and measures held-out utterances, if the criterion needs it.
        accuracy_before: The accuracy on old and new speakers before training, if `old` is set.
        notes: What to tell the user before training, one message each.
    """

    recipe: Recipe
    corpus: Corpus
    speakers: tuple[str, ...]
    labels: tuple[str, ...]
    start: Run | None
    old: Run | None
    initial: Run
    model: Model
    freezing: ModelFreezing
    features: Features
    splits: dict[Split, SegmentBatches]
    team: DistributedContext
    folder: Path | None = None
    state: TrainingState = field(default_factory=lambda: TrainingState({}))
    measure_conversions: Callable[[], dict[str, float]] | None = None
    accuracy_before: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Training:
        """The settings of the training."""
        return self.recipe.training

    @classmethod
    @contextmanager
    def open(
        cls,
        name: Location,
        data: Location | Dataset | Sequence[Location | Dataset] | Corpus,
        overrides: Iterable[str] | Mapping[str, Any] = (),
        *,
        out: Location | None = None,
        resume: bool = False,
        minutes: float | None = None,
        rehearse: bool = True,
        cache: Location | bool = True,
        shard: bool = False,
        device: torch.device | str | None = None,
        measures: Measures | None = None,
        speaker: str | None = None,
        progress: bool = False,
    ) -> Iterator[TrainingSession]:
        """Set up a training and check everything that can be checked before it.

        Torch's global random state is forked and seeded meanwhile. `out` is locked, so that no other process trains in
        it. If the training ends before its first checkpoint, nothing is left in `out`.

        Args:
            name: As for `finetune`, like all other arguments.
            data: As for `finetune`, or a corpus that was read before.
            out: The run folder to create. None to write nothing; then `data` need not have a validation split.

        Raises:
            VczooError: As `finetune` and `find_learning_rate`; nothing has been trained then.
        """
        device = choose_device(device)
        kind, place = read_name(name)
        start = read_run(kind, place)
        recipe = recipe_of_run(start.recipe, rehearse, overrides) if start else checked_recipe(place, overrides)
        settings = recipe.training
        team = DistributedContext(device, settings.precision, sharded=shard)
        folder = Path(out) if out is not None else None
        doing = partial(status, shown=progress and team.is_main_process)
        with training_scope(folder, lambda folder: check_out(folder, resume), settings.seed, team):
            finished: Run | None = None
            if folder and is_run(folder) and not (folder / CHECKPOINT).is_file():
                finished = load_run(folder)
            with doing("decoding the recordings"):
                complete = data if isinstance(data, Corpus) else read_corpus(data, speaker=speaker)
            corpus = complete if minutes is None else complete.within(minutes, settings.seed)
            old = start if rehearse else None
            if old:
                corpus = with_old_speakers(Path(place), old, corpus)
            if folder:
                check_validation(corpus, "decides when training stops")
            # Before the heads grow, because the fingerprint is that of the weights that training was given.
            weights = weights_fingerprint(start.model.state_dict()) if start and folder else ""
            with doing("building the model"):
                session = cls._of(recipe, corpus, start, old, team, cache)
            if folder:
                with doing("computing the checksums of the recordings"):
                    recordings = session.corpus.fingerprint()
                with doing("preparing the training"):
                    session._prepare_output(folder, finished, weights, recordings, measures)
                session._note(finished, minutes, complete.training_seconds() if minutes else {})
            yield session

    @classmethod
    def _of(
        cls,
        recipe: Recipe,
        corpus: Corpus,
        start: Run | None,
        old: Run | None,
        team: DistributedContext,
        cache: Location | bool,
    ) -> TrainingSession:
        """Build the model and its features, and check that they fit the corpus and the settings."""
        settings = recipe.training
        speakers = training_speakers(corpus, old)
        # The old labels come first, too, so that their logits keep their positions.
        old_labels = old.labels if old else ()
        labels = (*old_labels, *(label for label in corpus.labels if label not in old_labels))
        initial = start or build_initial_model(recipe, len(speakers), labels)
        model = initial.model
        corpus = corpus.reading(model.annotation_columns)
        if start:
            _fit_heads(model, old, speakers, labels)
        model.to(team.device)
        check_annotations(model, corpus, settings.crop_seconds)
        freezing = build_freezing(recipe, model)
        teacher = build_teacher(recipe, model)
        features = features_of(recipe, model, cache, teacher.to(team.device) if teacher else None)
        splits = segments_by_split(features, corpus, speakers, settings)
        modules = trainable(model, freezing, settings.epochs)
        check_versions(modules, settings)
        check_consistency(modules, settings)
        check_average(model.backbone, freezing.backbone, settings)
        check_shards(modules, model, team.sharded)
        return cls(recipe, corpus, speakers, labels, start, old, initial, model, freezing, features, splits, team)

    def _prepare_output(
        self, folder: Path, finished: Run | None, weights: str, recordings: str, measures: Measures | None
    ) -> None:
        """Check what only a training with a validation needs, take over a finished run, and begin the folder."""
        recipe, settings, model, team = self.recipe, self.settings, self.model, self.team
        self.folder = folder
        identity = identity_of(
            recipe,
            self.speakers,
            recordings,
            weights if self.start else fingerprint_of_start(recipe),
        )
        self.state = state_of_run(finished, settings, identity) if finished else TrainingState(identity)
        check_criterion(
            recipe.name,
            settings.criterion,
            tasks=set(model.tasks.values()),
            speakers=self.speakers,
            validated={utterance.speaker for utterance in self.corpus.split("validation")},
        )
        for part in (model.backbone, model.vocoder):
            if part and part.origin:
                part.origin.sha256  # noqa: B018 - computed now, because the file may change during training
        if needs_conversions(settings.criterion):
            modules = trainable(model, self.freezing, settings.epochs)
            frozen = not any(True for _ in modules["backbone"].parameters())
            validator_and_notes = team.on_main_process(
                lambda: conversion_validator(recipe, model, self.corpus, self.speakers, measures, frozen)
            )
            self.measure_conversions, notes = validator_and_notes or (dict, ())
            self.notes += [f"about the figures that choose the best epoch: {note}" for note in notes]
        if self.old:
            self.features.at(0)
            self.accuracy_before = accuracy_by_age(self.features, self.corpus, self.speakers, self.old.speakers)
        if finished:
            self._take_over(finished, folder)
        team.on_main_process(lambda: write_output(folder / MANIFEST, self.corpus.to_jsonl(folder)))
        check_shared(folder, team)

    def _take_over(self, finished: Run, folder: Path) -> None:
        """Load the weights of the finished run that is trained further."""
        now = pinned(self.recipe if self.start else self.initial.recipe, self.model, whole=False)
        recordings = finished.data.get("fingerprint", "")
        check_identity(  # the weights that they began with differ: those of the recipe, and those of the run
            identity_of(finished.recipe, finished.speakers, recordings, ""),
            identity_of(now, self.speakers, self.state.identity["recordings"], ""),
            folder,
        )
        self.freezing.insert_lasting(self.model)
        load_strictly(self.model, finished.model.state_dict(), where=str(folder))
        self.features.renew()

    def _note(self, finished: Run | None, minutes: float | None, seconds: Mapping[str, float]) -> None:
        """Collect what to tell the user before training."""
        about_figures, self.notes = self.notes, [self.corpus.report()]
        if self.settings.keep == "last":
            self.notes.append(
                "the weights of the last epoch are kept (training.keep=last). The validation loss\n"
                "may rise meanwhile: it is too uncertain to choose an epoch by a few sentences"
            )
        if finished:
            self.notes.append(
                f"continuing after {self.state.epoch} epochs with the weights of the run and a new optimizer;\n"
                f"the learning rate follows the schedule of {self.settings.epochs} epochs"
            )
        self.notes += truncated_list(
            [
                f"{speaker} has {available / 60:.2g} minutes for training, not {minutes:g}"
                for speaker, available in seconds.items()
                if minutes and available < 60 * minutes
            ]
        )
        self.notes += about_figures
        if note := unmasked_note(self.model.backbone, self.freezing, self.settings):
            self.notes.append(note)
        if self.old and (lost := [name for name in self.old.voices if name not in self.speakers]):
            self.notes.append(
                f"enroll these voices again, because they were enrolled without training: {', '.join(lost)}"
            )


def _fit_heads(model: Model, old: Run | None, speakers: Sequence[str], labels: Sequence[str]) -> None:
    """Give the heads of a run's model an output for each speaker and label."""
    for head in model.speaker_heads.values():
        if not old:
            head.restart(len(speakers))
        elif len(speakers) > len(old.speakers):
            head.grow(len(speakers))
    for label_head in model.label_heads.values() if labels else ():
        label_head.relabel(tuple(labels))
