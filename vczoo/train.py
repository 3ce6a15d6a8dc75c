"""`finetune`: a recipe or a run and recordings in, a run with voices out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vczoo.assembly import build, build_freezing, checked_recipe
from vczoo.cache import Cache, default_cache
from vczoo.checkpoint import CHECKPOINT
from vczoo.clips import Clips
from vczoo.converter import Converter, read_name
from vczoo.corpus import Corpus, Split, Utterance, read_corpus
from vczoo.errors import ContractError, CorpusError, RecipeError, RunError
from vczoo.features import Features, Version
from vczoo.files import write_text
from vczoo.interfaces import Voice
from vczoo.loop import fit
from vczoo.manifest import SPLITS
from vczoo.model import Model
from vczoo.plain import merge
from vczoo.progress import Bar, Silent
from vczoo.provenance import distributions, library_versions
from vczoo.recipe import Recipe, Training
from vczoo.recipe_text import nest
from vczoo.run import MANIFEST, Run, is_run, load_run, save_run
from vczoo.steps import evaluate, trainable
from vczoo.team import Team

__all__ = ["finetune"]

Location = str | os.PathLike[str]


def finetune(
    name: Location,
    data: Location | Sequence[Location],
    out: Location,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    rehearse: bool = True,
    resume: bool = False,
    cache: Location | bool = True,
    shard: bool = False,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> Converter:
    """Fine-tune a recipe on recordings, or teach a run additional speakers.

    From a run, its classifier grows: the rows of the old speakers are kept, their recordings (from the run's
    manifest, or given again in `data`) are trained on along with the new ones, and `metrics["extension"]` has the
    accuracy on old and new speakers before and after. With `rehearse` false only its weights are the start: the
    new run knows the speakers of `data` and no others, as when a model of many speakers is tuned to one voice.

    Args:
        name: a recipe, a recipe's .yaml file, or a run's folder (`./runs/mine`).
        data: a folder `<speaker>/*.wav`, a .csv or .jsonl manifest, or several of them.
        out: the run folder to make.
        overrides: of the recipe, `["training.epochs=3"]` or a mapping of the same; from a run, of its `training`
            and `freezing` alone.
        rehearse: from a run, whether its speakers are kept; their recordings are needed for it.
        resume: go on with what was interrupted in `out`; the outcome is that of an uninterrupted fine-tune.
        cache: where what the frozen stages give is kept between epochs and fine-tunes: true is the user's cache
            (`VCZOO_CACHE`), a path another folder. False keeps nothing: they run again in every epoch.
        shard: where several processes train together, whether each holds a part of every parameter that trains (FSDP)
            rather than all of them (DDP).
        device: where it computes; a GPU where there is one.
        progress: show it on standard error.

    Returns:
        The trained model with a voice for each speaker; its `metrics` are those of metrics.json.

    Raises:
        CorpusError: the recordings cannot be trained on.
        RecipeError, UnknownNameError, WeightsError: the recipe cannot be built.
        RunError: `out` exists, or there is nothing to resume.
        KeyboardInterrupt: after a checkpoint was written; `resume` goes on from it.
    """
    folder = Path(out)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    kind, place = read_name(name)
    start = load_run(Path(place)) if kind == "run" else None
    recipe = _recipe_of_run(start.recipe, rehearse, overrides) if start else checked_recipe(place, overrides)
    settings = recipe.training
    team = Team(device, settings.precision, sharded=shard)
    team.alone(lambda: _check_out(folder, resume))
    corpus = read_corpus(data)
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
    fingerprint = corpus.fingerprint()
    identity = hashlib.sha256(f"{recipe.to_yaml()}\n{speakers}\n{fingerprint}".encode()).hexdigest()

    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = start.model if start else build(recipe, len(speakers))
        for head in model.speaker_heads.values() if start else ():
            if not old:
                head.restart(len(speakers))
            elif len(speakers) > len(old.speakers):
                head.grow(len(speakers))
        model.to(team.device)
        freezing = build_freezing(recipe)
        features = _features(recipe, model, cache)
        clips = _clips(features, corpus, speakers, settings)
        _check_versions(trainable(model, freezing, settings.epochs), settings)
        features.at(0)
        before = _by_age(features, corpus, speakers, old) if old else {}
        team.alone(lambda: write_text(folder / MANIFEST, corpus.to_jsonl()))
        with Bar() if progress and team.leads else Silent() as watcher:
            watcher.say(corpus.report())
            if old and (lost := [name for name in old.voices if name not in speakers]):
                watcher.say(f"voices that were enrolled without training must be enrolled again: {', '.join(lost)}")
            fitted = fit(
                model,
                freezing,
                settings,
                clips["train"],
                clips["validation"],
                folder=folder,
                identity=identity,
                watcher=watcher,
                team=team,
            )
            if features.full:
                watcher.say("the cache is full: some recordings were heard in every epoch. VCZOO_CACHE_GB is its size")

        def finish() -> Run:
            metrics: dict[str, Any] = {
                "speakers": len(speakers),
                "epochs": len(fitted.history),
                "best_epoch": fitted.best_epoch,
                "seconds": round(fitted.seconds, 2),
                "validation": evaluate(model, clips["validation"]),
                "test": evaluate(model, clips["test"]),
            }
            if old:
                after = _by_age(features, corpus, speakers, old)
                metrics["extension"] = {age: {"before": before[age], "after": after[age]} for age in after}
            voices = {speaker: _voice(features, corpus, speaker) for speaker in speakers}
            features.flush()
            minutes = {speaker: round(seconds / 60, 2) for speaker, seconds in corpus.seconds_by_speaker().items()}
            run = Run(recipe, model, speakers, voices, metrics, {"fingerprint": fingerprint, "minutes": minutes})
            save_run(run, folder)
            (folder / CHECKPOINT).unlink(missing_ok=True)
            return run

        run = team.alone(finish)
    return Converter(run or load_run(folder), team.device)


def _features(recipe: Recipe, model: Model, cache: Location | bool) -> Features:
    """What the frozen stages of a recipe's model will give, kept where the caller wants it."""
    options = {name: value for name, value in recipe.backbone.options.items() if name != "weights"}
    describe = {
        "backbone": {"use": recipe.backbone.use, **options},
        "versions": library_versions(distributions(recipe)),
    }
    where = default_cache() if cache is True else Cache(Path(cache)) if cache else None
    dtype = torch.float16 if recipe.training.cache_dtype == "float16" else torch.float32
    return Features(model, describe, where, dtype)


def _clips(features: Features, corpus: Corpus, speakers: Sequence[str], settings: Training) -> dict[Split, Clips]:
    """The batches of each split; those of training in all versions."""
    seconds = settings.crop_seconds
    versions = [Version(speed, variant) for variant in range(settings.variants) for speed in settings.content_speeds]
    clips = {split: Clips(features, corpus.split(split), speakers, seconds) for split in SPLITS[1:]}
    return clips | {
        "train": Clips(
            features, corpus.split("train"), speakers, seconds, versions=versions, mask=settings.spec_augment
        )
    }


def _check_versions(owned: nn.ModuleDict, settings: Training) -> None:
    if set(settings.content_speeds) != {1.0} and any(True for _ in owned["backbone"].parameters()):
        raise ContractError(
            f"training.content_speeds is {list(settings.content_speeds)}, which is for a backbone that is wholly "
            "frozen; freeze it (freezing.use=full), or leave content_speeds at [1.0]"
        )


def _check_out(folder: Path, resume: bool) -> None:
    if is_run(folder):
        raise RunError(f"{folder}: a finished run is here; choose another --out, or load it with ./{folder.name}")
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose a folder for the run")
    if resume and CHECKPOINT not in there:
        raise RunError(f"{folder}: there is no {CHECKPOINT} to resume; start without --resume")
    if there and not resume:
        hint = "; --resume goes on with it" if CHECKPOINT in there else ""
        raise RunError(f"{folder} exists and is not empty{hint}; choose another --out, or remove it")


def _recipe_of_run(recipe: Recipe, rehearse: bool, overrides: Iterable[str] | Mapping[str, Any]) -> Recipe:
    if not rehearse and recipe.tuning:
        recipe = recipe.model_copy(update={"training": recipe.tuning})
    nested = nest(overrides)
    if wrong := sorted(set(nested) - {"training", "freezing"}):
        raise RecipeError(
            recipe.name, [f"{key}: a run's parts cannot be changed, only its training and freezing" for key in wrong]
        )
    return Recipe.parse(merge(recipe.to_plain(), nested))


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


def _by_age(features: Features, corpus: Corpus, speakers: Sequence[str], old: Run) -> dict[str, dict[str, float]]:
    """Accuracy over the test utterances of the run's speakers and of the new ones, apart."""
    figures = {}
    for age in ("old", "new"):
        tested = [u for u in corpus.split("test") if u.speaker in speakers]
        utterances = [u for u in tested if (u.speaker in old.speakers) == (age == "old")]
        if utterances and features.model.speaker_heads:
            figures[age] = _accuracy(features, utterances, speakers)
    return figures


@torch.inference_mode()
def _accuracy(features: Features, utterances: Sequence[Utterance], speakers: Sequence[str]) -> dict[str, float]:
    head = next(iter(features.model.eval().speaker_heads.values()))
    right = 0
    for utterance in utterances:
        (content,) = features.content([utterance])
        right += speakers[int(head.logits(content).argmax())] == utterance.speaker
    return {"accuracy": right / len(utterances), "utterances": len(utterances)}


@torch.inference_mode()
def _voice(features: Features, corpus: Corpus, speaker: str) -> Voice:
    """What enrolment keeps of a speaker's training utterances."""
    model, own = features.model.eval(), [u for u in corpus.split("train") if u.speaker == speaker]
    contents = features.content(own)
    if not model.voice_heads:
        return Voice(speaker, model.voice_of(contents, [], []))
    pitches = [features.pitch(utterance).to(features.device) for utterance in own]
    if model.acoustic_mel:
        acoustics = [features.acoustic(utterance).to(features.device) for utterance in own]
    else:
        acoustics = contents
    return Voice(speaker, model.voice_of(contents, acoustics, pitches))
