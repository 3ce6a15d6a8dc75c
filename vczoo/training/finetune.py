"""`finetune`: a recipe or a run and recordings in, a run with voices out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vczoo.conversion.converter import Converter
from vczoo.conversion.load import read_name, read_run
from vczoo.data.corpus import Corpus
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import CorpusError, RunError
from vczoo.evaluation.leakage import leakage_notes
from vczoo.evaluation.measures import Measures
from vczoo.io.files import write_text
from vczoo.io.progress import CallbackList, NullProgress, ProgressBar
from vczoo.io.tensors import fingerprint as weights_fingerprint
from vczoo.io.text import truncated_list
from vczoo.models.build import build_freezing, checked_recipe
from vczoo.models.model import Model
from vczoo.models.recipe import Recipe
from vczoo.models.selection_metric import check_criterion, needs_conversions
from vczoo.models.teacher import build_teacher
from vczoo.runs.run import MANIFEST, Run, is_run
from vczoo.runs.run_folder import load_run, save_run
from vczoo.runs.warm_start import build_initial_model, fingerprint_of_start
from vczoo.training.annotation_checks import check_annotations
from vczoo.training.checkpoint import CHECKPOINT
from vczoo.training.conversion_validation import ConversionValidator, load_measuring_models
from vczoo.training.curves import draw_curves
from vczoo.training.distributed import DistributedContext
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

__all__ = ["finetune"]

Location = str | os.PathLike[str]


def finetune(
    name: Location,
    data: Location | Sequence[Location],
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
) -> Converter:
    """Fine-tune a recipe on recordings, or teach a run additional speakers.

    From a run, its classifier grows: the rows of the old speakers are kept, their recordings (from the run's
    manifest, or given again in `data`) are trained on along with the new ones, and `metrics["extension"]` has the
    accuracy on old and new speakers before and after. With `rehearse` false only its weights are the start: the
    new run knows the speakers of `data` and no others, as when a model of many speakers is tuned to one voice.

    Args:
        name: a recipe, a recipe's .yaml file, or a run's folder (`./runs/mine`). A recipe's `start` gives the tensors
            to begin with; its `training` says how it is trained, as without one.
        data: a folder `<speaker>/*.wav`, a .csv or .jsonl manifest, or several of them.
        out: the run folder to make.
        overrides: of the recipe, `["training.epochs=3"]` or a mapping of the same; from a run, of its `training`
            and `freezing` alone.
        minutes: of each speaker's training recordings in `data`, at most; `training.seed` decides which, and what fewer
            minutes take is among what more take. Validation and test stay as they are. None for all of them.
        rehearse: from a run, whether its speakers are kept; their recordings are needed for it.
        resume: go on with what was interrupted in `out`; the outcome is that of an uninterrupted fine-tune.
        cache: where what the frozen stages give is kept between epochs and fine-tunes: true is the user's cache
            (`VCZOO_CACHE`), a path another folder. False keeps nothing: they run again in every epoch.
        shard: where several processes train together, whether each holds a part of every parameter that trains, of
            its gradient and of the optimizer's state (FSDP) rather than all of them (DDP).
        device: where it computes; a GPU where there is one.
        progress: show it on standard error.
        log: trackers that each epoch is logged to: `tensorboard` (into `logs` in `out`), `trackio`, `wandb`, `mlflow`.
        measures: models that are loaded already, for `training.criterion` similarity or character-error.

    Returns:
        The trained model with a voice for each speaker; its `metrics` are those of metrics.json.

    Raises:
        CorpusError: the recordings cannot be trained on.
        RecipeError, UnknownNameError, WeightsError: the recipe cannot be built.
        PluginError: what the criterion is measured with, or a tracker, is not installed.
        RunError: `out` exists, or there is nothing to resume.
        VczooError: the criterion cannot be measured on these recordings, or by a model that the recipe uses itself.
        KeyboardInterrupt: after a checkpoint was written; `resume` goes on from it.
    """
    folder = Path(out)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    kind, place = read_name(name)
    start = read_run(kind, place)
    recipe = recipe_of_run(start.recipe, rehearse, overrides) if start else checked_recipe(place, overrides)
    settings = recipe.training
    check_trackers(log)
    team = DistributedContext(device, settings.precision, sharded=shard)
    team.on_main_process(lambda: _check_out(folder, resume))
    corpus = read_corpus(data)
    short = corpus.training_seconds() if minutes else {}
    corpus = corpus if minutes is None else corpus.within(minutes, settings.seed)
    old = start if rehearse else None
    if old:
        corpus = _with_old_speakers(Path(place), old, corpus)
    if not corpus.split("validation"):
        raise CorpusError(
            "no recording is marked for validation, which decides when training stops; mark some in the manifest, "
            "or leave the column split empty"
        )
    heard = {utterance.speaker for utterance in corpus.split("train")}
    known = old.speakers if old else ()
    speakers = (*known, *(s for s in corpus.speakers if s in heard and s not in known))
    # The old ones first, so that their logits keep their places.
    labels = (*(old.labels if old else ()), *(label for label in corpus.labels if not old or label not in old.labels))
    fingerprint = corpus.fingerprint()
    origin = weights_fingerprint(start.model.state_dict()) if start else fingerprint_of_start(recipe)
    identity = hashlib.sha256(f"{recipe.to_yaml()}\n{speakers}\n{fingerprint}\n{origin}".encode()).hexdigest()

    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        begun = start or build_initial_model(recipe, len(speakers), labels)
        model = begun.model
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
                part.origin.sha256  # noqa: B018 - of the file as it is now; in an hour it may be another
        freezing = build_freezing(recipe)
        listen: Callable[[], dict[str, float]] | None = None
        leakage_warnings: Sequence[str] = ()
        if needs_conversions(settings.criterion):
            frozen = not any(True for _ in trainable(model, freezing, settings.epochs)["backbone"].parameters())
            held_out = team.on_main_process(lambda: _held_out(recipe, model, corpus, speakers, measures, frozen))
            listen, leakage_warnings = held_out or (dict, ())
        teacher = build_teacher(recipe, model)
        features = features_of(recipe, model, cache, teacher.to(team.device) if teacher else None)
        clips = segments_by_split(features, corpus, speakers, settings)
        owned = trainable(model, freezing, settings.epochs)
        check_versions(owned, settings)
        check_consistency(owned, settings)
        check_shards(owned, model, team.sharded)
        features.at(0)
        before = accuracy_by_age(features, corpus, speakers, old.speakers) if old else {}
        team.on_main_process(lambda: write_text(folder / MANIFEST, corpus.to_jsonl()))
        _check_shared(folder, team)
        with ProgressBar() if progress and team.is_main_process else NullProgress() as watcher:
            watcher.say(corpus.report())
            for line in truncated_list(
                [
                    f"{speaker} has {seconds / 60:.2g} minutes for training, not {minutes:g}"
                    for speaker, seconds in short.items()
                    if minutes and seconds < 60 * minutes
                ]
            ):
                watcher.say(line)
            for note in leakage_warnings:
                watcher.say(f"of the figures that epochs are chosen by: {note}")
            if note := unmasked_note(model.backbone, freezing, settings):
                watcher.say(note)
            if old and (lost := [name for name in old.voices if name not in speakers]):
                watcher.say(f"voices that were enrolled without training must be enrolled again: {', '.join(lost)}")
            try:
                with Trackers(log if team.is_main_process else (), folder, recipe.to_plain()) as trackers:
                    fitted = fit(
                        model,
                        freezing,
                        settings,
                        clips["train"],
                        clips["validation"],
                        folder=folder,
                        identity=identity,
                        watcher=CallbackList(watcher, trackers) if log else watcher,
                        team=team,
                        listen=listen,
                    )
            finally:  # of an interrupted one, too: what it shows may be why
                if team.is_main_process:
                    draw_curves(folder / LOG, settings.criterion, settings.keep, watcher.say)
            if features.full:
                watcher.say("the cache is full: some recordings were heard in every epoch. VCZOO_CACHE_GB is its size")

            run_frozen((clips["validation"], clips["test"]), features.depth, watcher, team)

        def finish() -> Run:
            metrics: dict[str, Any] = {
                "speakers": len(speakers),
                "epochs": len(fitted.history),
                "best_epoch": fitted.best_epoch,
                "seconds": round(fitted.seconds, 2),
                "trainable_parameters": fitted.parameters,
                "training_minutes": {name: round(s / 60, 2) for name, s in corpus.training_seconds().items()},
                "validation": evaluate(model, clips["validation"]) | (listen() if listen and fitted.history else {}),
                "test": evaluate(model, clips["test"]),
            }
            if old:
                after = accuracy_by_age(features, corpus, speakers, old.speakers)
                metrics["extension"] = {age: {"before": before[age], "after": after[age]} for age in after}
            named = speakers if model.speaker_heads or model.voice_heads else ()  # of others nothing would be kept
            voices = {speaker: voice_of(features, corpus, speaker) for speaker in named}
            features.flush()
            minutes = {speaker: round(seconds / 60, 2) for speaker, seconds in corpus.seconds_by_speaker().items()}
            kept = {"fingerprint": fingerprint, "minutes": minutes}
            # What it was tuned from keeps its terms, and what is not the model's own of the base.
            terms, base, own = begun.licence, dict(begun.base), labels if model.label_heads else ()
            made = recipe if start else begun.recipe
            run = Run(made, model, speakers, voices, metrics, kept, licence=terms, base=base, labels=own)
            save_run(run, folder)
            (folder / CHECKPOINT).unlink(missing_ok=True)
            return run

        run = team.on_main_process(finish)
    return Converter(run or load_run(folder), team.device)


def _check_out(folder: Path, resume: bool) -> None:
    place = folder if folder.is_absolute() or str(folder).startswith(".") else f"./{folder}"
    if is_run(folder):
        raise RunError(f"{folder}: a finished run is here; choose another --out, or load it with {place}")
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose a folder for the run")
    if resume and CHECKPOINT not in there:
        raise RunError(f"{folder}: there is no {CHECKPOINT} to resume; start without --resume")
    if there and not resume:
        hint = "; --resume goes on with it" if CHECKPOINT in there else ""
        raise RunError(f"{folder} exists and is not empty{hint}; choose another --out, or remove it")


def _check_shared(folder: Path, team: DistributedContext) -> None:
    """See that the processes, of several hosts perhaps, have one folder."""
    if team.anybody(not (folder / MANIFEST).is_file()):
        raise RunError(f"{folder}: not every process sees it; hosts that train together need a disk that they share")


def _held_out(
    recipe: Recipe, model: Model, corpus: Corpus, speakers: Sequence[str], measures: Measures | None, frozen: bool
) -> tuple[ConversionValidator, Sequence[str]]:
    """What listens to conversions, and what should be said of its figures."""
    criterion = recipe.training.criterion
    ears = measures or load_measuring_models(criterion)
    assert ears is not None
    notes = leakage_notes(recipe, ears)
    return ConversionValidator(model, corpus, speakers, ears, criterion, recipe.training.seed, frozen=frozen), notes


def _with_old_speakers(place: Path, old: Run, new: Corpus) -> Corpus:
    """The new recordings with those of the run's manifest: speakers that are not rehearsed would be forgotten."""
    manifest = place / MANIFEST
    cause = ""
    try:
        rehearsed = read_corpus(manifest) if manifest.is_file() else None
    except CorpusError as error:  # moved or gone; the new recordings may stand in for them
        rehearsed, cause = None, f" ({error})"
    known = rehearsed.merge(new) if rehearsed else new
    if missing := sorted(set(old.speakers) - set(known.speakers)):
        raise CorpusError(
            f"there are no recordings of {', '.join(missing)}, whom {place} knows{cause}: they would be forgotten. "
            "Give their recordings as data, too"
        )
    return known
