"""Checking of recipes, and building of their models. A check takes no memory for weights and downloads nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vczoo.errors import RecipeError
from vczoo.io.problems import Problems
from vczoo.io.tensors import digest
from vczoo.io.text import nearest
from vczoo.models.assembly import assemble, make_network
from vczoo.models.bundled import find_start
from vczoo.models.meta_init import init_on_meta
from vczoo.models.model import Model
from vczoo.models.model_freezing import ModelFreezing, check_vocoder_is_frozen
from vczoo.models.multi_task import stage_of
from vczoo.models.part_options import CheckedPart, check_part
from vczoo.models.recipe import Part, Recipe
from vczoo.models.resolve import read_values
from vczoo.models.selection_metric import criterion_faults
from vczoo.models.teacher import check_teacher, teacher_faults
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.freezing import Freezing
from vczoo.registry.entry import Kind
from vczoo.registry.requirements import need_faults
from vczoo.registry.weights import is_weights_file

__all__ = ["build", "build_freezing", "check", "checked_recipe", "pretrained_places"]

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
        model = assemble(recipe, parts, {"num_speakers": 2, "labels": UNKNOWN}, problems, ("backbone", "vocoder"))
        if freezing := _make_freezing(parts, problems):
            with problems.at("freezing"):
                if model:
                    freezing.bind(model)
        if "teacher" in parts:
            with problems.at("teacher"):
                teacher: Backbone = make_network(parts, "teacher", {}, ("teacher",))
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
    model = assemble(recipe, parts, data_context, problems, random)
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
