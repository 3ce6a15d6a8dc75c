"""Publishing of a run on the Hugging Face Hub, with its license, consent statement and model card.

Only the files that `push` lists are uploaded: the configuration, tensors, voices and metrics of the run, its card,
plots of it, and requested samples. The recordings and their manifest never leave the machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from huggingface_hub import constants

from vczoo.errors import HubError, RunError, UnknownNameError, WeightsError
from vczoo.evaluation.report import METRICS as EVALUATION
from vczoo.hub.card import CardFacts, PartFacts, SampleFacts, VoiceFacts, make_card
from vczoo.hub.client import COUNTED
from vczoo.hub.commit import Published, publish
from vczoo.hub.consent import Consent, parse_consent
from vczoo.hub.licenses import Ingredient, check_licence, hub_licence
from vczoo.hub.name import HubName, is_hub_name
from vczoo.hub.recorded_consent import check_recorded
from vczoo.io.files import write_text
from vczoo.io.plain_yaml import dump_plain
from vczoo.io.temporary import temporary_folder
from vczoo.io.text import bulleted
from vczoo.models.portability import foreign_faults, pinned
from vczoo.models.recipe import Part
from vczoo.registry.entry import Kind
from vczoo.registry.weights import choose_weights, is_weights_file
from vczoo.registry.zoo import the_zoo
from vczoo.runs.config import RunConfig
from vczoo.runs.pretrained_base import describe_base
from vczoo.runs.run import CONFIG, Run, own_voices
from vczoo.runs.run_files import LARGEST_METRICS, METRICS, MODEL, VOICES
from vczoo.runs.run_folder import config_of
from vczoo.runs.run_writer import save_run
from vczoo.runs.voices_file import voice_slots

__all__ = ["PLOTS", "push"]

CARD = "README.md"
EVALUATED = "evaluation"
PLOTS = (
    "curves.png",
    f"{EVALUATED}/similarity.png",
)  # plots of single recordings are left out, because the recordings could be reconstructed from them
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
    """Publish a run on the Hub, in one commit.

    Args:
        run: A run with at least one voice of its own, or with a trained text or label head.
        name: Repository, `owner/name`.
        licence: Hub identifier of the run's license, such as "cc-by-4.0". It must be compatible with the licenses of
            the base weights and the recordings.
        consent: Right by which the voices are shared: own-voice, written-consent, public-dataset:<name> or synthetic.
        private: Whether only the owner can see the repository.
        tag: Name for this version, such as "v1".
        whole: Whether to publish tensors that equal the pretrained base's too, so that the run loads without the base.
        languages: Language codes of the voices.
        data_licence: License of the recordings, if it is known. A public dataset that vczoo knows does not need it.
        samples: Pairs of a voice and a WAV file converted to it, for listening on the model card.
        share_frames: Whether to publish voices that store their recordings frame by frame, as those of a kNN head do.
            Such recordings can be made audible again.
        message: Commit message.
        dry_run: Whether to create and check all files without uploading them.

    Returns:
        Summary of the commit, or of the dry run.

    Raises:
        LicenceError: The license or the consent statement is invalid, the consent statement contradicts the one that
            is recorded for the run, or the license is not compatible with what the run is made of.
        HubError: The name is invalid, the run has nothing to share or cannot be built on other machines, its base is
            only on this machine, or publishing fails.
        RunError: The disk cannot be written, or the run's evaluation cannot be read.
    """
    run = replace(run, voices=own_voices(run))
    target = HubName.parse(f"{name}@{tag}" if tag else name)
    if target.revision != tag:
        raise HubError(f"{name!r} includes a revision. To name a version, push to {target.repository} with a tag")
    if set(run.model.tasks.values()) == {"frames"}:
        raise HubError(
            f"{run.recipe.name} has only heads that learn from a teacher, so it is of no use by itself. Train a recipe "
            "with a speaker, voice, text or label head from this run, then push the new run"
        )
    if not run.voices and not (run.metrics and set(run.model.tasks.values()) - {"speaker", "voice", "frames"}):
        raise HubError(f"{run.recipe.name} has no voice yet: fine-tune it or enroll a voice, then push again")
    if run.delta and run.delta.base.kind == "local" and not whole:
        raise HubError(
            f"{run.recipe.name} holds only what tuning changed, and its base is a folder of this machine. Push the "
            "base first and tune it by its name on the Hub, or use --whole (whole=True) to publish every tensor"
        )
    statement = parse_consent(consent)
    check_recorded(statement, run.consent, run.lineage, target)
    licence = hub_licence(licence)
    recipe = pinned(run.recipe, run.model, whole=whole)
    if recipe.teacher and is_weights_file(str(recipe.teacher.options.get("weights", ""))):
        recipe = recipe.model_copy(update={"teacher": None})  # a run is loaded without its teacher
    if faults := foreign_faults(recipe):
        alternative = "" if whole else ", or use --whole (whole=True) to publish every tensor without the weights files"
        raise HubError(
            f"{bulleted('this run cannot be built on other machines', faults)}\nChange the recipe{alternative}"
        )
    _check_frames(run, share_frames)
    notes = check_licence(licence, list(_ingredients(run, statement, data_licence)))
    with temporary_folder("push") as temporary:
        shared = replace(run, recipe=recipe, licence=licence, consent=statement.statement)
        folder = save_run(shared, temporary / "run", whole=whole)  # a new folder, so its files have the plain names
        files = {path: folder / path for path in (CONFIG, MODEL, VOICES, METRICS)} | _plots(run) | _named(samples)
        facts = _facts(shared, target, config_of(folder), statement, notes, languages, files, samples, _evaluation(run))
        card = make_card(facts)
        write_text(folder / CARD, card)
        summary = {"library_name": "vczoo", "model_type": "vczoo", "recipe": run.recipe.name}
        write_text(folder / COUNTED, json.dumps(summary | {"vczoo_version": facts.versions["vczoo"]}, indent=2) + "\n")
        files = {CARD: folder / CARD, COUNTED: folder / COUNTED} | files
        if dry_run:
            sizes = {path: file.stat().st_size for path, file in files.items()}
            return Published(target, "", f"{constants.ENDPOINT}/{target.repository}", sizes, card=card)
        published = publish(target, files, private=private, message=message or f"Publish {run.recipe.name} with vczoo")
        return replace(published, card=card)


def _ingredients(run: Run, consent: Consent, data_licence: str) -> Iterable[Ingredient]:
    """Yield everything whose license terms apply to the run."""
    for place, part in describe_base(run.model, run.base, ()).items():
        yield Ingredient(f"{place}, weights of {part.source or 'an unknown source'}", part.licence)
    if run.recipe.teacher:
        teacher = _teacher(run.recipe.teacher)
        yield Ingredient(f"teacher, weights of {teacher.source or 'an unknown source'}", teacher.licence)
    if consent.dataset:
        yield Ingredient(f"recordings of {consent.dataset}", data_licence or consent.licence)
    elif data_licence:
        yield Ingredient("recordings", data_licence)
    if run.licence:
        yield Ingredient("the run that it was made from", run.licence)


def _plots(run: Run) -> dict[str, Path]:
    plots = {path: run.folder / path for path in PLOTS} if run.folder else {}
    return {path: file for path, file in plots.items() if _is_own(file, run)}


def _is_own(file: Path, run: Run) -> bool:
    """Whether a file exists inside the run's folder. In somebody else's run it could be a link to the user's files."""
    return run.folder is not None and file.is_file() and file.resolve().is_relative_to(run.folder.resolve())


def _named(samples: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Return the samples by their names in the repository, which do not reveal the local file names."""
    return {f"{SAMPLES}/{number}.wav": file for number, (_, file) in enumerate(samples, 1)}


def _check_frames(run: Run, share_frames: bool) -> None:
    growing = [name for name, (_, shape) in voice_slots(run.model).items() if None in shape] if run.voices else []
    if growing and not share_frames:
        raise HubError(
            f"the voices of this run store their recordings frame by frame ({', '.join(growing)}), so the recordings "
            "can be made audible again. If you want to publish them, pass --share-frames (share_frames=True)"
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
    evaluation: Mapping[str, Any] | None,
) -> CardFacts:
    minutes = config.data.minutes
    sources = [ancestor.name for ancestor in config.lineage if ancestor.kind == "hub"]
    sources += [part.source for part in config.base.values()]
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
        lineage=tuple(config.lineage),
        base_run=str(config.base_run or ""),
        attribution=tuple(config.attribution),
        base_models=tuple(source for source in sources if is_hub_name(source)),
        datasets=(consent.hub_id,) if consent.hub_id else (),
        versions={"vczoo": config.vczoo, **config.plugins},
        seed=config.seed,
        metrics=run.metrics,
        evaluation=evaluation,
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
        *(("freezing", f"freezing of {name}", part) for name, part in recipe.freezing.parts.items()),
        *(("head", f"head {name}", head) for name, head in recipe.heads.items()),
        ("vocoder", "vocoder", recipe.vocoder),
        ("pitch", "pitch tracker", recipe.pitch),
    ]
    for kind, role, part in places:
        if part is None:
            continue
        base = config.base.get(kind) if kind in ("backbone", "vocoder") else None
        place = f"heads.{role.removeprefix('head ')}" if kind == "head" else kind
        ancestors = [ancestor for ancestor in config.lineage if place in ancestor.parts]
        licence = next((ancestor.licence for ancestor in ancestors if ancestor.licence), "")
        licence = base.licence if base else licence or the_zoo().find(kind, part.use)[0].licence
        yield PartFacts(
            role,
            part.use,
            weights=str(part.options.get("weights", "")),
            source=base.source if base else "",
            revision=base.revision if base else "",
            sha256=", ".join(base.files.values()) if base else "",
            licence=licence,
            start=ancestors[0] if ancestors else None,
        )
    if recipe.teacher:
        yield _teacher(recipe.teacher)


def _teacher(part: Part) -> PartFacts:
    """Describe a recipe's teacher. Its license is unknown if its weights are not registered."""
    weights = str(part.options.get("weights", ""))
    facts = PartFacts("teacher", part.use, "" if is_weights_file(weights) else weights, licence="unknown")
    try:
        entry, tag = the_zoo().find("backbone", part.use)
        chosen = choose_weights(part.use, weights or tag or "pretrained", entry.weights)
    except (UnknownNameError, WeightsError):  # random, a file, or from a plugin that is not installed
        return facts
    return replace(facts, source=chosen.source, revision=chosen.revision, sha256=chosen.sha256, licence=chosen.licence)


def _evaluation(run: Run) -> dict[str, Any] | None:
    """Read the results of `vczoo evaluate` for a run; only the file name of the trials is kept, not their path."""
    path = run.folder / EVALUATED / EVALUATION if run.folder else None
    if path is None or not _is_own(path, run) or path.stat().st_size > LARGEST_METRICS:
        return None
    try:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
        setup = evaluation.get("setup", {})
        return {**evaluation, "setup": {**setup, "trials": PurePath(str(setup.get("trials", ""))).name}}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise RunError(f"{path}: the evaluation cannot be read ({error}); delete it or evaluate again") from error
