"""A run, a licence and a consent statement in; a speaker on the Hub out.

Only what stands in `_staged` leaves the machine: configuration, tensors, voices and figures of the run, the card, plots
that were drawn of it, and samples that were asked for. Its recordings and their manifest never do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import constants

from vczoo.errors import HubError, RunError, UnknownNameError, WeightsError
from vczoo.evaluation.report import METRICS as EVALUATION
from vczoo.hub.card import CardFacts, PartFacts, SampleFacts, VoiceFacts, make_card
from vczoo.hub.commit import Published, publish
from vczoo.hub.consent import Consent, parse_consent
from vczoo.hub.licenses import Ingredient, check_licence, hub_licence
from vczoo.hub.name import HubName, is_hub_name
from vczoo.io.files import write_text
from vczoo.io.plain_yaml import dump_plain
from vczoo.models.portability import foreign_faults, pinned
from vczoo.models.recipe import Part
from vczoo.registry.entry import Kind
from vczoo.registry.weights import choose_weights, is_weights_file
from vczoo.registry.zoo import the_zoo
from vczoo.runs.config import RunConfig
from vczoo.runs.pretrained_base import describe_base
from vczoo.runs.run import CONFIG, METRICS, MODEL, VOICES, Run, own_voices
from vczoo.runs.run_folder import LARGEST_METRICS, config_of, save_run
from vczoo.runs.voices_file import voice_slots

__all__ = ["PLOTS", "push"]

CARD = "README.md"
EVALUATED = "evaluation"
PLOTS = (
    "curves.png",
    f"{EVALUATED}/similarity.png",
)  # not those of single recordings, which could be read back from them
SAMPLES = "samples"


def push(
    run: Run,
    name: str,
    *,
    licence: str,
    consent: str,
    private: bool = False,
    tag: str = "",
    whole: bool = False,
    languages: Sequence[str] = (),
    data_licence: str = "",
    samples: Sequence[tuple[str, Path]] = (),
    share_frames: bool = False,
    message: str = "",
    dry_run: bool = False,
) -> Published:
    """Publish a run as a speaker, in one commit.

    Args:
        run: with at least one voice, or a text or label head that was trained.
        name: owner/name.
        licence: identifier of the Hub, cc-by-4.0; it must go with those of the base weights and the data.
        consent: by what right its voices are shared: own-voice, written-consent, public-dataset:<name> or synthetic.
        private: whether only its owner sees it.
        tag: a name for this version, v1.
        whole: whether the base's tensors are published, too, so that nobody needs the base to load it.
        languages: that its voices speak, by their codes.
        data_licence: of the recordings, where it is known; a public dataset that vczoo knows needs none.
        samples: WAV files to listen to, each with the voice that it is in.
        share_frames: whether voices may be published that hold their recordings frame by frame, as those of a kNN head
            do: such recordings can be made audible again.
        message: of the commit.
        dry_run: whether all is made and checked, and nothing is sent.

    Raises:
        LicenceError: the licence or the statement of consent is none, or does not go with what the run is made of.
        HubError: the name is none, the run means nothing on another machine, or it cannot be published.
        RunError: the disk refuses.
    """
    run = replace(run, voices=own_voices(run))
    target = HubName.parse(f"{name}@{tag}" if tag else name)
    if target.revision != tag:
        raise HubError(f"{name!r}: a version is named by its tag; push to {target.repository} with a tag")
    if set(run.model.tasks.values()) == {"frames"}:
        raise HubError(
            f"{run.recipe.name} has learnt from its teacher and does nothing by itself; train a recipe with a speaker, "
            "voice, text or label head on it, then push that run"
        )
    if not run.voices and not (run.metrics and {"text", "label"} & set(run.model.tasks.values())):
        raise HubError(f"{run.recipe.name} has no voice yet: fine-tune it, or enroll one from recordings, then push")
    right = parse_consent(consent)
    licence = hub_licence(licence)
    recipe = pinned(run.recipe, run.model, whole=whole)
    if recipe.teacher and is_weights_file(str(recipe.teacher.options.get("weights", ""))):
        recipe = recipe.model_copy(update={"teacher": None})  # which nobody needs to load what it has taught
    if faults := foreign_faults(recipe):
        way = "" if whole else "; --whole keeps every tensor in the run, so that a file of weights is no longer needed"
        raise HubError(
            "this run cannot be built elsewhere:\n  - " + "\n  - ".join(faults) + f"\nChange the recipe{way}"
        )
    _check_frames(run, share_frames)
    notes = check_licence(licence, list(_ingredients(run, right, data_licence)))
    with TemporaryDirectory(prefix="vczoo-push-") as place:
        shared = replace(run, recipe=recipe, licence=licence, consent=right.statement)
        folder = save_run(shared, Path(place) / "run", whole=whole)
        files = {path: folder / path for path in (CONFIG, MODEL, VOICES, METRICS)} | _plots(run) | _named(samples)
        facts = _facts(shared, target, config_of(folder), right, notes, languages, files, samples)
        write_text(folder / CARD, make_card(facts))
        files = {CARD: folder / CARD} | files
        if dry_run:
            sizes = {path: file.stat().st_size for path, file in files.items()}
            return Published(target, "", f"{constants.ENDPOINT}/{target.repository}", sizes)
        return publish(target, files, private=private, message=message or f"Publish {run.recipe.name} with vczoo")


def _ingredients(run: Run, consent: Consent, data_licence: str) -> Iterable[Ingredient]:
    """Everything whose terms the run is under."""
    for place, part in describe_base(run.model, run.base, ()).items():
        yield Ingredient(f"{place}, weights of {part.source or 'a source that is not known'}", part.licence)
    if run.recipe.teacher:
        teacher_frames = _teacher(run.recipe.teacher)
        yield Ingredient(
            f"teacher, weights of {teacher_frames.source or 'a source that is not known'}", teacher_frames.licence
        )
    if consent.dataset:
        yield Ingredient(f"recordings of {consent.dataset}", data_licence or consent.licence)
    elif data_licence:
        yield Ingredient("recordings", data_licence)
    if run.licence:
        yield Ingredient("the speaker that it was made from", run.licence)


def _plots(run: Run) -> dict[str, Path]:
    there = {path: run.folder / path for path in PLOTS} if run.folder else {}
    return {path: file for path, file in there.items() if _is_own(file, run)}


def _is_own(file: Path, run: Run) -> bool:
    """Whether a file is there and in the run's folder: in somebody else's it may be a link to a file of the user's."""
    return run.folder is not None and file.is_file() and file.resolve().is_relative_to(run.folder.resolve())


def _named(samples: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Samples by their names in the repository, which tell nothing of what the files are called here."""
    return {f"{SAMPLES}/{number}.wav": file for number, (_, file) in enumerate(samples, 1)}


def _check_frames(run: Run, share_frames: bool) -> None:
    growing = [name for name, (_, shape) in voice_slots(run.model).items() if None in shape] if run.voices else []
    if growing and not share_frames:
        raise HubError(
            f"the voices of this run hold their recordings frame by frame ({', '.join(growing)}), from which these can "
            "be made audible again; --share-frames (share_frames=True) says that you want that"
        )


def _facts(
    run: Run,
    target: HubName,
    config: RunConfig,
    consent: Consent,
    notes: Sequence[str],
    languages: Sequence[str],
    files: Mapping[str, Path],
    samples: Sequence[tuple[str, Path]],
) -> CardFacts:
    minutes = config.data.minutes
    sources = [part.source for part in config.base.values()]
    return CardFacts(
        target.repository,
        run.recipe.name,
        run.recipe.summary,
        dump_plain(config.recipe),
        config.licence,
        consent,
        parts=tuple(_parts(run, config)),
        voices=tuple(VoiceFacts(voice, minutes.get(voice)) for voice in config.voices),
        tasks=dict(run.model.tasks),
        labels=tuple(config.labels),
        minutes=() if config.voices else tuple(minutes.values()),
        languages=tuple(languages),
        base_models=tuple(source for source in sources if is_hub_name(source)),
        datasets=(consent.hub_id,) if consent.hub_id else (),
        versions={"vczoo": config.vczoo, **config.plugins},
        seed=config.seed,
        metrics=run.metrics,
        evaluation=_evaluation(run),
        plots=tuple(path for path in files if path in PLOTS),
        samples=tuple(SampleFacts(path, voice) for path, (voice, _) in zip(_named(samples), samples, strict=True)),
        files={path: file.stat().st_size for path, file in files.items()},
        licence_notes=tuple(notes),
        endpoint=constants.ENDPOINT,
        revision=target.revision,
    )


def _parts(run: Run, config: RunConfig) -> Iterator[PartFacts]:
    recipe = run.recipe
    places: list[tuple[Kind, str, Part | None]] = [
        ("backbone", "backbone", recipe.backbone),
        ("freezing", "freezing", recipe.freezing),
        *(("head", f"head {name}", head) for name, head in recipe.heads.items()),
        ("vocoder", "vocoder", recipe.vocoder),
    ]
    for kind, role, part in places:
        if part is None:
            continue
        base = config.base.get(kind) if kind in ("backbone", "vocoder") else None
        licence = base.licence if base else the_zoo().find(kind, part.use)[0].licence
        yield PartFacts(
            role,
            part.use,
            weights=str(part.options.get("weights", "")),
            source=base.source if base else "",
            revision=base.revision if base else "",
            sha256=", ".join(base.files.values()) if base else "",
            licence=licence,
        )
    if recipe.teacher:
        yield _teacher(recipe.teacher)


def _teacher(part: Part) -> PartFacts:
    """What a recipe's heads of frames have learnt from; its licence is unknown where its weights are not registered."""
    weights = str(part.options.get("weights", ""))
    facts = PartFacts("teacher", part.use, "" if is_weights_file(weights) else weights, licence="unknown")
    try:
        entry, tag = the_zoo().find("backbone", part.use)
        found = choose_weights(part.use, weights or tag or "pretrained", entry.weights)
    except (UnknownNameError, WeightsError):  # random, a file, or of a plugin that is not here
        return facts
    return replace(facts, source=found.source, revision=found.revision, sha256=found.sha256, licence=found.licence)


def _evaluation(run: Run) -> dict[str, Any] | None:
    """What `vczoo evaluate` found of a run, without where on this machine its trials are."""
    path = run.folder / EVALUATED / EVALUATION if run.folder else None
    if path is None or not _is_own(path, run) or path.stat().st_size > LARGEST_METRICS:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        setup = found.get("setup", {})
        return {**found, "setup": {**setup, "trials": PurePath(str(setup.get("trials", ""))).name}}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise RunError(f"{path}: the evaluation cannot be read ({error}); remove it, or evaluate again") from error
