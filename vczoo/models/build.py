"""Checking of recipes, and building of their models. A check takes no memory for weights and downloads nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vczoo.audio.pitch import PitchTracker
from vczoo.audio.specs import FrameSpec, MelSpec, check_contract
from vczoo.errors import ContractError, RecipeError, VczooError, WeightsError
from vczoo.io.problems import Problems
from vczoo.io.tensors import digest
from vczoo.io.text import nearest
from vczoo.models.bundled import find_start
from vczoo.models.meta_init import init_on_meta
from vczoo.models.model import Model, stage_of
from vczoo.models.model_freezing import ModelFreezing, check_vocoder_is_frozen
from vczoo.models.part_options import CheckedPart, check_part
from vczoo.models.recipe import HeadPart, Part, Recipe
from vczoo.models.resolve import read_values
from vczoo.models.selection_metric import criterion_faults
from vczoo.models.teacher import check_teacher, teacher_faults
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.freezing import Freezing
from vczoo.modules.interfaces.head import Head, check_declaration
from vczoo.modules.interfaces.heads import KINDS, SpeakerHead, VoiceHead
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.registry.entry import Kind
from vczoo.registry.requirements import need_faults
from vczoo.registry.weights import is_weights_file

__all__ = ["build", "build_freezing", "check", "checked_recipe", "make_tracker", "pretrained_places"]

UNKNOWN = ("unknown",)  # labels of a label head before training


def checked_recipe(name: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> Recipe:
    """Read a recipe and check it, including the contracts between its parts.

    Args:
        name: Name of a recipe, or path of a .yaml file.
        overrides: Overrides of its settings, as for `vczoo.models.recipe.read_recipe`.

    Raises:
        RecipeError: The recipe's settings or parts have faults. The message lists all of them.
        UnknownNameError, VczooError: The recipe cannot be read, as for `vczoo.models.recipe.read_recipe`.
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
        RecipeError: The recipe has faults. The message lists all of them.
    """
    problems = Problems()
    parts = _check_parts(recipe, problems, with_teacher=True)
    if recipe.start:
        _check_start(recipe, problems)
    with torch.random.fork_rng(devices=[]), init_on_meta():
        model = _assemble(recipe, parts, {"num_speakers": 2, "labels": UNKNOWN}, problems, ("backbone", "vocoder"))
        if freezing := _make_freezing(parts, problems):
            with problems.at("freezing"):
                if model:
                    freezing.bind(model)
        if "teacher" in parts:
            with problems.at("teacher"):
                teacher: Backbone = _make(parts, "teacher", {}, ("teacher",))
                if model:
                    check_teacher(model, teacher.spec)
    if model:
        problems.faults += teacher_faults(recipe, model)
    for section, training in (("training", recipe.training), ("tuning", recipe.tuning)):
        if model and training:
            problems.faults += criterion_faults(training.criterion, section, set(model.tasks.values()))
    problems.raise_if_any(recipe.name)


def build(
    recipe: Recipe,
    num_speakers: int,
    labels: Sequence[str] = (),
    *,
    random: Collection[str] = (),
    stages: Collection[str] | None = None,
) -> Model:
    """Build a recipe's model. Untrained parts are initialized from the caller's random state.

    Args:
        recipe: The recipe. It must not have a `start`; `vczoo.runs.warm_start.build_initial_model` builds those.
        num_speakers: Number of speakers in the training data, at least 1.
        labels: Labels of the training data, in the order of the logits.
        random: Parts that are built without their pretrained weights, because a run provides their tensors: `backbone`,
            `vocoder`.
        stages: Keys of the stages whose pretrained weights `Model.base` describes; None for all.

    Raises:
        RecipeError: The recipe has faults, or a `start`. The message lists all faults.
        WeightsError: Pretrained weights are unavailable or do not fit.
    """
    if recipe.start:
        raise RecipeError(
            recipe.name, [f"start: {recipe.start!r} is not allowed here, because a run contains its tensors; remove it"]
        )
    problems = Problems()
    parts = _check_parts(recipe, problems, random)
    problems.raise_if_any(recipe.name)
    data_context = {"num_speakers": num_speakers, "labels": tuple(labels) or UNKNOWN}
    model = _assemble(recipe, parts, data_context, problems, random)
    problems.raise_if_any(recipe.name)
    assert model is not None  # each reason for None is a fault
    pretrained = tuple(place for place in _pretrained(parts) if place not in random)
    tensors = model.tensors() if pretrained else {}
    model.base = {
        name: digest(tensor)
        for name, tensor in tensors.items()
        if name.startswith(pretrained) and not tensor.is_meta and (stages is None or stage_of(name) in stages)
    }
    return model


def pretrained_places(recipe: Recipe) -> list[str]:
    """Return which of backbone and vocoder start from pretrained weights that a run need not contain.

    Raises:
        RecipeError: Names or options of the parts have faults. The message lists all of them.
    """
    problems = Problems()
    parts = _check_parts(recipe, problems, ("backbone", "vocoder"))
    problems.raise_if_any(recipe.name)
    return _pretrained(parts)


def _pretrained(parts: Mapping[str, CheckedPart]) -> list[str]:
    """As `pretrained_places`. Runs contain a vocoder that was loaded from a local file, so it does not count."""
    places = []
    for place in ("backbone", "vocoder"):
        weights = str(parts[place].options.get("weights", "random")) if place in parts else "random"
        if weights != "random" and not (place == "vocoder" and is_weights_file(weights)):
            places.append(place)
    return places


def build_freezing(recipe: Recipe, model: Model | None = None) -> ModelFreezing:
    """Build a recipe's freezing strategies.

    Args:
        recipe: The recipe.
        model: The model that the strategies are for; None if they are not applied.

    Raises:
        RecipeError: A strategy has faults, or does not fit its part. The message lists all of them.
    """
    problems = Problems()
    checked = {place: check_part(problems, place, "freezing", part) for place, part in _strategies(recipe, problems)}
    freezing = _make_freezing({place: part for place, part in checked.items() if part}, problems)
    if freezing and model and not problems:
        with problems.at("freezing.vocoder"):
            check_vocoder_is_frozen(freezing)
        with problems.at("freezing"):
            freezing.bind(model)
    problems.raise_if_any(recipe.name)
    assert freezing is not None  # each reason for None is a fault
    return freezing


def _strategies(recipe: Recipe, problems: Problems) -> list[tuple[str, Part]]:
    """The freezing strategies of a recipe by their key in it, without those of parts that it does not have."""
    places = [*recipe.heads, *(["vocoder"] if recipe.vocoder else [])]
    for name in recipe.freezing.parts:
        if name not in places:
            problems.faults.append(
                f"freezing.{name}: the recipe has no such part{nearest(name, places)} Its parts: backbone, "
                f"{', '.join(places)}"
            )
    named = [(f"freezing.{name}", part) for name, part in recipe.freezing.parts.items() if name in places]
    return [("freezing", recipe.freezing), *named]


def _make_freezing(parts: Mapping[str, CheckedPart], problems: Problems) -> ModelFreezing | None:
    """Build the strategies among checked parts; return None if one of them has faults."""
    strategies: dict[str, Freezing] = {}
    places = [place for place in parts if place.partition(".")[0] == "freezing"]
    for place in places:
        with problems.at(place):
            strategies[place.rpartition(".")[2]] = parts[place].make({})
    backbone = strategies.pop("freezing", None)
    if backbone is None or len(strategies) < len(places) - 1:
        return None
    return ModelFreezing(backbone, strategies, strategies.pop("vocoder", None))


def _check_start(recipe: Recipe, problems: Problems) -> None:
    with problems.at("start"):
        find_start(recipe.start)
    weights = str(recipe.backbone.options.get("weights", ""))
    if is_weights_file(weights):
        problems.faults.append(
            f"backbone.weights: {weights} and start {recipe.start!r} both set the backbone's weights; remove one"
        )


def _check_parts(
    recipe: Recipe, problems: Problems, random: Collection[str] = (), *, with_teacher: bool = False
) -> dict[str, CheckedPart]:
    """Check the name and options of each part, and return the valid parts by their key in the recipe."""
    places: list[tuple[str, Kind, Part]] = [
        ("backbone", "backbone", recipe.backbone),
        *((place, "freezing", part) for place, part in _strategies(recipe, problems)),
        *((f"heads.{name}", "head", part) for name, part in recipe.heads.items()),
    ]
    if recipe.vocoder:
        places.append(("vocoder", "vocoder", recipe.vocoder))
    if recipe.pitch:
        places.append(("pitch", "pitch", recipe.pitch))
    if recipe.teacher and with_teacher:
        places.append(("teacher", "backbone", recipe.teacher))
    checked = {
        place: check_part(problems, place, kind, part, weights_needed=place not in random)
        for place, kind, part in places
    }
    for name, fault in need_faults(recipe.to_plain() | ({} if with_teacher else {"teacher": None})).items():
        if not any(name in reported for reported in problems.faults):  # a part's fault may already name the plugin
            problems.faults.append(fault)
    return {place: part for place, part in checked.items() if part}


def _assemble(
    recipe: Recipe,
    parts: Mapping[str, CheckedPart],
    data_context: Mapping[str, Any],
    problems: Problems,
    random: Collection[str],
) -> Model | None:
    """Build the checked parts one by one. The context of each is the data's, extended by the parts built before it.

    Return None if a part cannot be built.
    """
    vocoder: Vocoder | None = None
    backbone: Backbone | None = None
    context = dict(data_context)
    if "vocoder" in parts:
        with problems.at("vocoder", passing=_failed_downloads("vocoder", random)):
            vocoder = _make(parts, "vocoder", context, random)
            context["acoustic"] = vocoder.accepts
    if "backbone" in parts:
        with problems.at("backbone", passing=_failed_downloads("backbone", random)):
            backbone = _make(parts, "backbone", context, random)
            context["frames"] = backbone.spec
    if backbone and vocoder:
        with problems.at("vocoder"):
            _check_vocoder(recipe, backbone, vocoder)
    tracker: PitchTracker | None = None
    if "pitch" in parts:
        with problems.at("pitch"):
            tracker = make_tracker(parts["pitch"])
    heads: dict[str, Head] = {}
    incomplete = False  # whether an earlier head, perhaps the speaker head, could not be built
    missing = [
        name
        for name, part in (("backbone", backbone), ("vocoder", vocoder), ("pitch", tracker))
        if getattr(recipe, name) and part is None
    ]
    if not missing:  # heads depend on them, so their faults would only repeat those of a broken part
        empty_module = nn.ModuleDict()
        for name in recipe.heads:
            if hasattr(empty_module, name):
                problems.faults.append(
                    f"heads.{name}: torch modules already have an attribute {name!r}; give the head another name"
                )
                continue
            part = parts.get(f"heads.{name}")
            if part is None or (incomplete and part.asks_for("embedding_width") and "embedding_width" not in context):
                incomplete = True  # its fault is reported already, or follows from that of the speaker head
                continue
            head_context = context
            if recipe.heads[name].reads == "acoustic":
                head_context = context | {"frames": _as_frames(context.get("acoustic"))}
            with problems.at(f"heads.{name}"):
                heads[name] = head = _make_head(part, head_context, recipe.heads[name])
                if isinstance(head, SpeakerHead):
                    context.setdefault("embedding_width", head.embedding_width)
            incomplete = incomplete or name not in heads
    if len(heads) < len(recipe.heads) or backbone is None or missing:
        return None
    shares = {name: head.weight for name, head in recipe.heads.items()}
    acoustic_heads = [name for name, head in recipe.heads.items() if head.reads == "acoustic"]
    return Model(backbone, heads, shares, vocoder, acoustic_heads, tracker)


def make_tracker(part: CheckedPart) -> PitchTracker:
    """Make a pitch tracker.

    Raises:
        ContractError: It cannot be made, or is something else.
    """
    tracker = part.make({})
    if not isinstance(tracker, PitchTracker):
        raise ContractError(
            f"pitch {part.entry.name!r} made a {type(tracker).__name__}, expected a vczoo.PitchTracker; report this to "
            "the author of the plugin"
        )
    return tracker


def _as_frames(acoustic: MelSpec | FrameSpec | None) -> FrameSpec | None:
    """Frame format of a vocoder's mels; None if the vocoder does not read mels."""
    if not isinstance(acoustic, MelSpec):
        return None
    return FrameSpec(acoustic.sample_rate_hz, acoustic.hop_length, acoustic.num_mels)


def _make_head(checked: CheckedPart, context: Mapping[str, Any], part: HeadPart) -> Head:
    """Build a head, and check that its kind allows its `reads` and `reverse`."""
    if part.reads == "acoustic" and context["frames"] is None:
        raise ContractError("reads: acoustic needs a vocoder that reads mels; remove reads, or choose such a vocoder")
    if part.reads == "acoustic" and part.reverse:
        raise ContractError(
            "reverse is only for heads that read content, but this one reads mels; remove reverse or reads"
        )
    head: Head = checked.make(context)
    check_declaration(head, KINDS)
    if part.reverse and isinstance(head, VoiceHead):
        raise ContractError(
            "reverse (gradient reversal) is only for speaker, label, text and frame heads; "
            f"{part.use} is a voice head. Remove reverse"
        )
    if part.reads == "acoustic" and not isinstance(head, SpeakerHead):
        raise ContractError(f"reads: acoustic is only for speaker heads; {part.use} reads content. Remove reads")
    return head


def _make(parts: Mapping[str, CheckedPart], place: str, context: Mapping[str, Any], random: Collection[str]) -> Any:
    """Build a backbone or vocoder, without its pretrained weights if its place is in `random`."""
    part = parts[place]
    if place in random and "weights" in part.options:
        part = CheckedPart(part.entry, part.factory, part.options | {"weights": "random"})
    return part.make(context)


def _failed_downloads(place: str, random: Collection[str]) -> tuple[type[VczooError], ...]:
    """The errors of a part that are not faults of the recipe."""
    return () if place in random else (WeightsError,)


def _check_vocoder(recipe: Recipe, backbone: Backbone, vocoder: Vocoder) -> None:
    if isinstance(vocoder.accepts, FrameSpec):
        check_contract(recipe.backbone.use, backbone.spec, str(recipe.vocoder and recipe.vocoder.use), vocoder.accepts)
