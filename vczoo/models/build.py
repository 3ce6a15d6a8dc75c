"""A `Recipe` in, its faults or its `Model` out. Checking builds with random weights and downloads nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vczoo.audio.specs import FrameSpec, MelSpec, check_contract
from vczoo.errors import ContractError, RecipeError, WeightsError
from vczoo.io.tensors import digest
from vczoo.models.bundled import find_start
from vczoo.models.model import Model, stage_of
from vczoo.models.part_options import CheckedPart, check_part, run_check
from vczoo.models.recipe import HeadPart, Part, Recipe
from vczoo.models.resolve import read_values
from vczoo.models.selection_metric import criterion_faults
from vczoo.models.teacher import check_teacher, teacher_faults
from vczoo.modules.interfaces.backbone import Backbone, Freezing
from vczoo.modules.interfaces.heads import Head, SpeakerHead, VoiceHead
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.registry.entry import Kind
from vczoo.registry.requirements import need_faults
from vczoo.registry.weights import is_weights_file

__all__ = ["build", "build_freezing", "check", "checked_recipe", "pretrained_places"]

UNKNOWN = ("unknown",)  # what a label head knows before it is trained


def checked_recipe(name: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> Recipe:
    """Read a recipe and check it, down to the contracts between its parts.

    Raises:
        RecipeError: with every fault, of its settings and of its parts.
        UnknownNameError, VczooError: as `vczoo.models.recipe.read_recipe`.
    """
    values = read_values(name, overrides)
    recipe, faults = Recipe.salvage(values)
    if recipe:
        try:
            check(recipe)
        except RecipeError as error:
            faults += [fault for fault in error.faults if fault not in faults]
    if faults or not recipe:
        raise RecipeError(str(values["name"]), faults)
    return recipe


def check(recipe: Recipe) -> None:
    """Check that a recipe can be built: names, options, weights, its start and the contracts between parts.

    Raises:
        RecipeError: with every fault.
    """
    faults: list[str] = []
    ready = _prepare(recipe, faults, teacher_frames=True)
    if recipe.start:
        faults += _start_faults(recipe)
    with torch.random.fork_rng(devices=[]):
        model = _assemble(recipe, ready, {"num_speakers": 2, "labels": UNKNOWN}, faults, ("backbone", "vocoder"))
        if "freezing" in ready:
            freezing: Freezing | None = run_check(faults, "freezing", lambda: ready["freezing"].make({}))
            if freezing and model:
                num_stages = len(model.backbone.stages())
                run_check(faults, "freezing", lambda: freezing.multipliers(num_stages, 0))
        if "teacher" in ready:
            teacher: Backbone | None = _make_with_weights(ready, "teacher", {}, faults, ("teacher",))
            if teacher and model:
                run_check(faults, "teacher", lambda: check_teacher(model, teacher.spec))
    if model:
        faults += teacher_faults(recipe, model)
    for section, training in (("training", recipe.training), ("tuning", recipe.tuning)):
        if model and training:
            faults += criterion_faults(training.criterion, section, set(model.tasks.values()))
    if faults:
        raise RecipeError(recipe.name, faults)


def build(
    recipe: Recipe,
    num_speakers: int,
    labels: Sequence[str] = (),
    *,
    random: Collection[str] = (),
    stages: Collection[str] | None = None,
) -> Model:
    """Build a recipe's model; the random state of the caller decides what is fresh in it.

    Args:
        num_speakers: of the training data, at least 1.
        labels: of the training data, in the order of the logits.
        random: whose pretrained weights are left out, since a run's are put in: backbone, vocoder.
        stages: the keys of those whose pretrained weights are told by `Model.base`; None tells all.

    Raises:
        RecipeError: with every fault, or it has a `start`, whose tensors `vczoo.runs.warm_start.begin` puts in.
        WeightsError: pretrained weights cannot be had or do not fit.
    """
    if recipe.start:
        raise RecipeError(
            recipe.name, [f"start: {recipe.start!r} has no place here: a run that is loaded holds its tensors itself"]
        )
    faults: list[str] = []
    ready = _prepare(recipe, faults, random)
    if faults:
        raise RecipeError(recipe.name, faults)
    known = {"num_speakers": num_speakers, "labels": tuple(labels) or UNKNOWN}
    model = _assemble(recipe, ready, known, faults, random)
    if model is None or faults:
        raise RecipeError(recipe.name, faults)
    pretrained = tuple(place for place in _with_base(ready) if place not in random)
    own = model.tensors() if pretrained else {}
    model.base = {
        name: digest(tensor)
        for name, tensor in own.items()
        if name.startswith(pretrained) and not tensor.is_meta and (stages is None or stage_of(name) in stages)
    }
    return model


def pretrained_places(recipe: Recipe) -> list[str]:
    """Which of backbone and vocoder start from weights that somebody else could have.

    Raises:
        RecipeError: with every fault of their names and options.
    """
    faults: list[str] = []
    ready = _prepare(recipe, faults, ("backbone", "vocoder"))
    if faults:
        raise RecipeError(recipe.name, faults)
    return _with_base(ready)


def _with_base(ready: Mapping[str, CheckedPart]) -> list[str]:
    """As `pretrained_places`; a vocoder's file is of this machine, a run keeps it."""
    found = []
    for place in ("backbone", "vocoder"):
        weights = str(ready[place].options.get("weights", "random")) if place in ready else "random"
        if weights != "random" and not (place == "vocoder" and is_weights_file(weights)):
            found.append(place)
    return found


def build_freezing(recipe: Recipe) -> Freezing:
    """Build a recipe's freezing strategy.

    Raises:
        RecipeError: with every fault of it.
    """
    faults: list[str] = []
    ready = check_part(faults, "freezing", "freezing", recipe.freezing)
    freezing: Freezing | None = run_check(faults, "freezing", lambda: ready.make({})) if ready else None
    if freezing is None:
        raise RecipeError(recipe.name, faults)
    return freezing


def _start_faults(recipe: Recipe) -> list[str]:
    faults: list[str] = []
    run_check(faults, "start", lambda: find_start(recipe.start))
    weights = str(recipe.backbone.options.get("weights", ""))
    if is_weights_file(weights):
        faults.append(f"backbone.weights: {weights} and start {recipe.start!r} both give the backbone; leave one out")
    return faults


def _prepare(
    recipe: Recipe, faults: list[str], random: Collection[str] = (), *, teacher_frames: bool = False
) -> dict[str, CheckedPart]:
    """Every part of a recipe whose name and options hold, by its place in the recipe; `taught`, its teacher, too."""
    places: list[tuple[str, Kind, Part]] = [
        ("backbone", "backbone", recipe.backbone),
        ("freezing", "freezing", recipe.freezing),
        *((f"heads.{name}", "head", part) for name, part in recipe.heads.items()),
    ]
    if recipe.vocoder:
        places.append(("vocoder", "vocoder", recipe.vocoder))
    if recipe.teacher and teacher_frames:
        places.append(("teacher", "backbone", recipe.teacher))
    found = {
        place: check_part(faults, place, kind, part, weights_needed=place not in random) for place, kind, part in places
    }
    for name, fault in need_faults(recipe.to_plain() | ({} if teacher_frames else {"teacher": None})).items():
        if not any(name in said for said in faults):  # a part's fault may have named its plugin
            faults.append(fault)
    return {place: ready for place, ready in found.items() if ready}


def _assemble(
    recipe: Recipe,
    ready: Mapping[str, CheckedPart],
    known: Mapping[str, Any],
    faults: list[str],
    random: Collection[str],
) -> Model | None:
    """Build what is ready, part after part, each in the context of what is known of the data and of those before it."""
    parts: dict[str, Any] = {}
    context = dict(known)
    if "vocoder" in ready:
        vocoder: Vocoder | None = _make_with_weights(ready, "vocoder", context, faults, random)
        parts["vocoder"] = vocoder
        context["acoustic"] = vocoder.accepts if vocoder else None
    if "backbone" in ready:
        backbone: Backbone | None = _make_with_weights(ready, "backbone", context, faults, random)
        parts["backbone"] = backbone
        context["frames"] = backbone.spec if backbone else None
    if parts.get("backbone") and parts.get("vocoder"):
        run_check(faults, "vocoder", lambda: _check_vocoder(recipe, parts["backbone"], parts["vocoder"]))
    heads: dict[str, Head] = {}
    lost = False  # whether a head before could not be made, which may have been the speaker head
    broken = [name for name in ("backbone", "vocoder") if getattr(recipe, name) and not parts.get(name)]
    if not broken:  # heads stand on both: their faults would only repeat what is said already
        taken = nn.ModuleDict()
        for name in recipe.heads:
            if hasattr(taken, name):
                faults.append(f"heads.{name}: torch's modules have a {name!r} of their own; give the head another name")
                continue
            found = ready.get(f"heads.{name}")
            if found is None or (lost and found.asks_for("embedding_width") and "embedding_width" not in context):
                lost = True  # its fault is said, or follows from that of the speaker head
                continue
            read = context
            if recipe.heads[name].reads == "acoustic":
                read = context | {"frames": _as_frames(context.get("acoustic"))}
            head = run_check(faults, f"heads.{name}", partial(_read_rightly, found, read, recipe.heads[name]))
            lost = lost or head is None
            if head is not None:
                heads[name] = head
                if isinstance(head, SpeakerHead):
                    context.setdefault("embedding_width", head.embedding_width)
    if len(heads) < len(recipe.heads) or broken:
        return None
    shares = {name: head.weight for name, head in recipe.heads.items()}
    by_mels = [name for name, head in recipe.heads.items() if head.reads == "acoustic"]
    reversals = {name: head.reverse for name, head in recipe.heads.items()}
    return Model(parts["backbone"], heads, shares, parts.get("vocoder"), by_mels, reversals)


def _as_frames(acoustic: MelSpec | FrameSpec | None) -> FrameSpec | None:
    """The mels of a vocoder as frames; None where there are none."""
    if not isinstance(acoustic, MelSpec):
        return None
    return FrameSpec(acoustic.sample_rate_hz, acoustic.hop_length, acoustic.num_mels)


def _read_rightly(ready: CheckedPart, context: Mapping[str, Any], part: HeadPart) -> Head:
    """Make a head that reads what it can."""
    if part.reads == "acoustic" and context["frames"] is None:
        raise ContractError(
            "reads: acoustic is of a recipe whose vocoder reads mels; leave it out, or give it such a one"
        )
    if part.reads == "acoustic" and part.reverse:
        raise ContractError("reverse is of heads that read content, and this one reads mels; leave one of both out")
    head: Head = ready.make(context)
    if part.reverse and isinstance(head, VoiceHead):
        raise ContractError(f"reverse is of heads that say what content must forget; {part.use} is to be heard")
    if part.reads == "acoustic" and not isinstance(head, SpeakerHead):
        raise ContractError(f"reads: acoustic is for heads that tell speakers apart; {part.use} reads content")
    return head


def _make_with_weights(
    ready: Mapping[str, CheckedPart], place: str, context: Mapping[str, Any], faults: list[str], random: Collection[str]
) -> Any:
    part = ready[place]
    if place in random and "weights" in part.options:
        part = CheckedPart(part.entry, part.factory, part.options | {"weights": "random"})
    passing = () if place in random else (WeightsError,)  # a download that fails is no fault of the recipe
    return run_check(faults, place, lambda: part.make(context), passing)


def _check_vocoder(recipe: Recipe, backbone: Backbone, vocoder: Vocoder) -> None:
    if isinstance(vocoder.accepts, FrameSpec):
        check_contract(recipe.backbone.use, backbone.spec, str(recipe.vocoder and recipe.vocoder.use), vocoder.accepts)
