"""Fine-tuning: `finetune` trains a recipe, or extends a run, and writes a run folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch

from vczoo.conversion.converter import Converter
from vczoo.conversion.load import read_name, read_run
from vczoo.data.corpus import Corpus
from vczoo.data.corpus_reader import read_corpus
from vczoo.data.dataset_rows import Dataset
from vczoo.errors import CorpusError, RunError
from vczoo.evaluation.leakage import leakage_notes
from vczoo.evaluation.measures import Measures
from vczoo.io.device import choose_device
from vczoo.io.precision import single_precision
from vczoo.io.progress import CallbackList, NullProgress, ProgressBar
from vczoo.io.tensors import fingerprint as weights_fingerprint
from vczoo.io.tensors import load_strictly
from vczoo.io.text import truncated_list
from vczoo.models.build import build_freezing, checked_recipe
from vczoo.models.model import Model
from vczoo.models.portability import pinned
from vczoo.models.recipe import Recipe
from vczoo.models.selection_metric import check_criterion, needs_conversions
from vczoo.models.teacher import build_teacher
from vczoo.runs.lineage import lineage_from
from vczoo.runs.run import MANIFEST, Run, is_run
from vczoo.runs.run_folder import load_run, save_run
from vczoo.runs.warm_start import build_initial_model, fingerprint_of_start
from vczoo.training.annotation_checks import check_annotations
from vczoo.training.checkpoint import CHECKPOINT, TrainingState
from vczoo.training.conversion_validation import ConversionValidator, load_measuring_models
from vczoo.training.curves import draw_curves
from vczoo.training.distributed import DistributedContext
from vczoo.training.finished_run import state_of_run
from vczoo.training.identity import check_identity, identity_of
from vczoo.training.optimizer import trainable
from vczoo.training.setup import (
    check_consistency,
    check_shards,
    check_versions,
    features_of,
    recipe_of_run,
    segments_by_split,
    unmasked_note,
)
from vczoo.training.speakers import accuracy_by_age, voice_of
from vczoo.training.step import evaluate
from vczoo.training.tracking import Trackers, check_trackers
from vczoo.training.trainer import LOG, fit, run_frozen
from vczoo.training.training_folder import check_contents, training_folder, write_output

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
) -> Converter:
    """Fine-tune a recipe on recordings, or add speakers to a run.

    Starting from a run, the speaker classifier grows: it keeps the rows of the old speakers and trains on their
    recordings together with the new ones. The old recordings come from the run's manifest, or from `data` if you give
    them again. `metrics["extension"]` has the accuracy on old and new speakers before and after. With `rehearse`
    false, only the run's weights are used: the new run knows the speakers of `data` and no others, as when you tune a
    model of many speakers to one voice.

    Args:
        name: A recipe, a recipe's .yaml file, or a run's folder (`./runs/mine`). If the recipe has a `start`, training
            begins with its tensors; the recipe's `training` settings apply either way.
        data: A folder `<speaker>/*.wav`, a .csv or .jsonl manifest, a recording, a `datasets.Dataset` as for
            `read_corpus`, or several of them.
        out: The run folder to create.
        overrides: Changes to the recipe, as `["training.epochs=3"]` or as a mapping. For a run, only `training` and
            `freezing` can be changed.
        minutes: The most minutes of training recordings to use per speaker in `data`; None uses all of them.
            `training.seed` chooses the recordings, and a smaller amount is always part of a larger one. The validation
            and test splits do not change.
        rehearse: Whether a run keeps its old speakers, which needs their recordings.
        resume: Whether to resume the interrupted fine-tune in `out`. The result equals that of an uninterrupted one.
            With more `training.epochs` than before, training goes on for longer, also from a finished run. The learning
            rate then jumps to where the longer schedule is; a finished run goes on from the weights that it kept, with
            a new optimizer.
        cache: Where to keep the outputs of the frozen stages between epochs and fine-tunes: true for the user's cache
            (`VCZOO_CACHE`), or the path of another folder. False keeps nothing, and the frozen stages run again in
            every epoch.
        shard: Whether each of several processes holds only a part of every trained parameter, its gradient and its
            optimizer state (FSDP), rather than all of them (DDP).
        device: The device to train on; by default a GPU if there is one.
        progress: Whether to show progress on standard error.
        log: Trackers that log each epoch: `tensorboard` (into `logs` in `out`), `trackio`, `wandb`, `mlflow`.
        measures: Measuring models that are already loaded, for `training.criterion` similarity or character-error.
        speaker: The speaker of the recordings in `data` that are given as files, or that lie directly in a folder. Long
            ones are cut at pauses (`read_corpus`).

    Returns:
        The trained model with a voice for each speaker. Its `metrics` are those of metrics.json.

    Raises:
        CorpusError: The recordings cannot be used for training.
        RecipeError, UnknownNameError, WeightsError: The recipe cannot be built.
        PluginError: A tracker, or a library that the criterion needs, is not installed.
        RunError: `out` already exists or cannot be written, another process trains in it, there is nothing to resume,
            or it was started with other settings or data.
        VczooError: The criterion cannot be measured on these recordings, or the model that measures it is part of the
            recipe; or the device does not work here.
        KeyboardInterrupt: Training was interrupted, after it wrote a checkpoint that `resume` continues from; or before
            the first one, and then it leaves nothing in `out`.
    """
    folder = Path(out)
    device = choose_device(device)
    kind, place = read_name(name)
    start = read_run(kind, place)
    recipe = recipe_of_run(start.recipe, rehearse, overrides) if start else checked_recipe(place, overrides)
    settings = recipe.training
    check_trackers(log)
    team = DistributedContext(device, settings.precision, sharded=shard)
    with ExitStack() as stack:
        team.on_main_process(lambda: stack.enter_context(training_folder(folder, lambda: _check_out(folder, resume))))
        finished = load_run(folder) if is_run(folder) and not (folder / CHECKPOINT).is_file() else None
        corpus = read_corpus(data, speaker=speaker)
        short = corpus.training_seconds() if minutes else {}
        corpus = corpus if minutes is None else corpus.within(minutes, settings.seed)
        old = start if rehearse else None
        if old:
            corpus = _with_old_speakers(Path(place), old, corpus)
        if not corpus.split("validation"):
            raise CorpusError(
                "no recording is marked for validation, which decides when training stops; mark some in the manifest, "
                "or leave the split column empty"
            )
        training_speakers = {utterance.speaker for utterance in corpus.split("train")}
        old_speakers = old.speakers if old else ()
        # The old speakers and labels come first, so that their logits keep their positions.
        speakers = (*old_speakers, *(s for s in corpus.speakers if s in training_speakers and s not in old_speakers))
        labels = (
            *(old.labels if old else ()),
            *(label for label in corpus.labels if not old or label not in old.labels),
        )
        fingerprint = corpus.fingerprint()
        origin = weights_fingerprint(start.model.state_dict()) if start else fingerprint_of_start(recipe)
        identity = identity_of(recipe, speakers, fingerprint, origin)
        begin = state_of_run(finished, settings, identity) if finished else TrainingState(identity)

        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            initial = start or build_initial_model(recipe, len(speakers), labels)
            model = initial.model
            for head in model.speaker_heads.values() if start else ():
                if not old:
                    head.restart(len(speakers))
                elif len(speakers) > len(old.speakers):
                    head.grow(len(speakers))
            for label_head in model.label_heads.values() if start and labels else ():
                label_head.relabel(labels)
            model.to(team.device)
            check_annotations(model, corpus, settings.crop_seconds)
            check_criterion(
                recipe.name,
                settings.criterion,
                tasks=set(model.tasks.values()),
                speakers=speakers,
                validated={utterance.speaker for utterance in corpus.split("validation")},
            )
            for part in (model.backbone, model.vocoder):
                if part and part.origin:
                    part.origin.sha256  # noqa: B018 - computed now, because the file may change during training
            freezing = build_freezing(recipe, model.backbone)
            measure_conversions: Callable[[], dict[str, float]] | None = None
            leakage_warnings: Sequence[str] = ()
            if needs_conversions(settings.criterion):
                frozen = not any(True for _ in trainable(model, freezing, settings.epochs)["backbone"].parameters())
                validator_and_warnings = team.on_main_process(
                    lambda: _conversion_validator(recipe, model, corpus, speakers, measures, frozen)
                )
                measure_conversions, leakage_warnings = validator_and_warnings or (dict, ())
            teacher = build_teacher(recipe, model)
            features = features_of(recipe, model, cache, teacher.to(team.device) if teacher else None)
            clips = segments_by_split(features, corpus, speakers, settings)
            owned = trainable(model, freezing, settings.epochs)
            check_versions(owned, settings)
            check_consistency(owned, settings)
            check_shards(owned, model, team.sharded)
            features.at(0)
            before = accuracy_by_age(features, corpus, speakers, old.speakers) if old else {}
            if finished:
                now = identity_of(
                    pinned(recipe if start else initial.recipe, model, whole=False), speakers, fingerprint, ""
                )
                made_from = identity_of(finished.recipe, finished.speakers, finished.data.get("fingerprint", ""), "")
                check_identity(made_from, now, folder)
                load_strictly(model, finished.model.state_dict(), where=str(folder))
                features.renew()
            team.on_main_process(lambda: write_output(folder / MANIFEST, corpus.to_jsonl(folder)))
            _check_shared(folder, team)
            trivial = model.speaker_heads if len(speakers) == 1 else ()
            with ProgressBar(trivial) if progress and team.is_main_process else NullProgress() as watcher:
                watcher.say(corpus.report())
                if settings.keep == "last":
                    watcher.say(
                        "the weights of the last epoch are kept (training.keep=last). The validation loss\n"
                        "may rise meanwhile: it is too uncertain to choose an epoch by a few sentences"
                    )
                if finished:
                    watcher.say(
                        f"continuing after {begin.epoch} epochs with the weights of the run and a new optimizer;\n"
                        f"the learning rate follows the schedule of {settings.epochs} epochs"
                    )
                for line in truncated_list(
                    [
                        f"{speaker} has {seconds / 60:.2g} minutes for training, not {minutes:g}"
                        for speaker, seconds in short.items()
                        if minutes and seconds < 60 * minutes
                    ]
                ):
                    watcher.say(line)
                for note in leakage_warnings:
                    watcher.say(f"about the figures that choose the best epoch: {note}")
                if note := unmasked_note(model.backbone, freezing, settings):
                    watcher.say(note)
                if old and (lost := [name for name in old.voices if name not in speakers]):
                    watcher.say(
                        f"enroll these voices again, because they were enrolled without training: {', '.join(lost)}"
                    )
                try:
                    with Trackers(log if team.is_main_process else (), folder, recipe.to_plain()) as trackers:
                        fitted = fit(
                            model,
                            freezing,
                            settings,
                            clips["train"],
                            clips["validation"],
                            folder=folder,
                            begin=begin,
                            watcher=CallbackList(watcher, trackers) if log else watcher,
                            team=team,
                            measure_conversions=measure_conversions,
                        )
                finally:  # also after an interruption: the curves may show why
                    if team.is_main_process:
                        draw_curves(folder / LOG, settings.criterion, settings.keep, watcher.say)
                if features.full:
                    watcher.say(
                        "the cache is full: some recordings were encoded again in every epoch. Set VCZOO_CACHE_GB "
                        "higher"
                    )

                run_frozen((clips["validation"], clips["test"]), features.depth, watcher, team)

            def finish() -> Run:
                metrics: dict[str, Any] = {
                    "speakers": len(speakers),
                    "epochs": len(fitted.history),
                    "best_epoch": fitted.best_epoch,
                    "kept_epoch": fitted.kept_epoch,
                    "seconds": round(fitted.seconds, 2),
                    "trainable_parameters": fitted.parameters,
                    "training_minutes": {name: round(s / 60, 2) for name, s in corpus.training_seconds().items()},
                    "validation": evaluate(model, clips["validation"])
                    | (measure_conversions() if measure_conversions and fitted.history else {}),
                    "test": evaluate(model, clips["test"]),
                }
                if old:
                    after = accuracy_by_age(features, corpus, speakers, old.speakers)
                    metrics["extension"] = {age: {"before": before[age], "after": after[age]} for age in after}
                # Without a speaker head or a voice head, a voice would be empty.
                enrolled = speakers if model.speaker_heads or model.voice_heads else ()
                voices = {speaker: voice_of(features, corpus, speaker) for speaker in enrolled}
                features.flush()
                minutes = {speaker: round(seconds / 60, 2) for speaker, seconds in corpus.seconds_by_speaker().items()}
                run = Run(
                    recipe if start else initial.recipe,
                    model,
                    speakers,
                    voices,
                    metrics,
                    {"fingerprint": fingerprint, "minutes": minutes},
                    # The new run inherits the license of the weights it started from, and the reference to their base.
                    licence=initial.licence,
                    base=dict(initial.base),
                    labels=labels if model.label_heads else (),
                    # A run that keeps its speakers keeps their voices, and what was stated about them.
                    consent=old.consent if old else "",
                    lineage=lineage_from(start) if start else initial.lineage,
                )
                save_run(run, folder)
                with suppress(OSError):  # the run is complete
                    (folder / CHECKPOINT).unlink()
                return run

            run = team.on_main_process(finish)
    return Converter(run or load_run(folder), team.device)


def _check_out(folder: Path, resume: bool) -> None:
    if not is_run(folder):
        check_contents(folder, resume)
    elif not resume:
        place = folder if folder.is_absolute() or str(folder).startswith(".") else f"./{folder}"
        raise RunError(
            f"{folder}: a finished run is here; choose another --out, load it as {place}, or add --resume and more "
            "training.epochs to train it further"
        )


def _check_shared(folder: Path, team: DistributedContext) -> None:
    """Raise RunError unless all processes, perhaps on several hosts, see the same folder."""
    if team.anybody(not (folder / MANIFEST).is_file()):
        raise RunError(f"{folder}: not every process sees this folder; hosts that train together need a shared disk")


def _conversion_validator(
    recipe: Recipe, model: Model, corpus: Corpus, speakers: Sequence[str], measures: Measures | None, frozen: bool
) -> tuple[ConversionValidator, Sequence[str]]:
    """The validator that measures conversions after each epoch, and the leakage notes for its figures."""
    criterion = recipe.training.criterion
    models = measures or load_measuring_models(criterion)
    assert models is not None
    notes = leakage_notes(recipe, models)
    return ConversionValidator(model, corpus, speakers, models, criterion, recipe.training.seed, frozen=frozen), notes


def _with_old_speakers(place: Path, old: Run, new: Corpus) -> Corpus:
    """Add the recordings of the run's manifest to the new ones, because speakers without recordings are forgotten."""
    manifest = place / MANIFEST
    cause = ""
    try:
        rehearsed = read_corpus(manifest) if manifest.is_file() else None
    except CorpusError as error:  # moved or deleted; the new recordings may include them
        rehearsed, cause = None, f" ({error})"
    merged = rehearsed.merge(new) if rehearsed else new
    if missing := sorted(set(old.speakers) - set(merged.speakers)):
        raise CorpusError(
            f"there are no recordings of {', '.join(missing)}, who are speakers of {place}{cause}; they would be "
            "forgotten. Add their recordings to data"
        )
    return merged
