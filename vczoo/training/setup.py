"""Setup of training: the recipe of a run, features, batches of each split, and checks of the settings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vczoo.audio.waveform import LONGEST_SECONDS
from vczoo.data.columns import SPLITS
from vczoo.data.corpus import Corpus, Split
from vczoo.errors import ContractError, CorpusError, RecipeError
from vczoo.io.plain_yaml import merge
from vczoo.models.model import Model
from vczoo.models.model_freezing import ModelFreezing
from vczoo.models.recipe import Recipe
from vczoo.models.resolve import nest
from vczoo.models.training_settings import Training
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.freezing import Freezing
from vczoo.registry.zoo import the_zoo
from vczoo.runs.versions import digest_of_settings, digest_of_sources, distributions, library_versions
from vczoo.training.features.activations import find_time_axis, frozen_depth
from vczoo.training.features.augment import Version
from vczoo.training.features.cache import open_cache
from vczoo.training.features.features import Features
from vczoo.training.features.segments import SegmentBatches

__all__ = [
    "check_average",
    "check_consistency",
    "check_shards",
    "check_validation",
    "check_versions",
    "features_of",
    "recipe_of_run",
    "segments_by_split",
    "unmasked_note",
]


def recipe_of_run(recipe: Recipe, rehearse: bool, overrides: Iterable[str] | Mapping[str, Any]) -> Recipe:
    """The recipe for training a run further.

    Args:
        recipe: The run's recipe.
        rehearse: Whether the run keeps its speakers. If not, the recipe's `tuning` replaces its `training`.
        overrides: Changes to `training` and `freezing`.

    Raises:
        RecipeError: An override changes something other than `training` and `freezing`, or a strategy whose modules
            stay in the run.
    """
    if not rehearse and recipe.tuning:
        recipe = recipe.model_copy(update={"training": recipe.tuning})
    nested = nest(overrides)
    if wrong := sorted(set(nested) - {"training", "freezing"}):
        raise RecipeError(
            recipe.name, [f"{key}: a run's parts cannot be changed, only its training and freezing" for key in wrong]
        )
    changed = Recipe.parse(merge(recipe.to_plain(), nested))
    _check_lasting(recipe, changed)
    return changed


def _check_lasting(recipe: Recipe, changed: Recipe) -> None:
    """Check that the strategies of a run whose modules stay in its model are the same in the recipe for more training.

    Raises:
        RecipeError: One of them was changed, and the run could not be loaded again.
    """
    before = {"backbone": recipe.freezing, **recipe.freezing.parts}
    after = {"backbone": changed.freezing, **changed.freezing.parts}
    faults = [
        f"freezing.{name}: the {name} of this run has the modules of {part.use}, which stay in it; keep this "
        "strategy and its options, or begin with the run that it was tuned from"
        for name, part in before.items()
        if getattr(the_zoo().find("freezing", part.use)[0].load(), "stays", False)  # a factory may be a function
        and (name not in after or (after[name].use, after[name].options) != (part.use, part.options))
    ]
    if faults:
        raise RecipeError(recipe.name, faults)


def check_validation(corpus: Corpus, purpose: str) -> None:
    """Check that there are recordings to validate on, and say what validation is for.

    Raises:
        CorpusError: The validation split is empty.
    """
    if not corpus.split("validation"):
        raise CorpusError(
            f"no recording is marked for validation, which {purpose}; mark some in the manifest, or leave the split "
            "column empty"
        )


def features_of(
    recipe: Recipe, model: Model, cache: str | os.PathLike[str] | bool, teacher: Backbone | None = None
) -> Features:
    """The features that a recipe's model trains on, with their cache.

    Args:
        recipe: The recipe that the model was built from.
        model: The model, on its device.
        cache: True for the user's cache, a path for another folder, false to keep nothing.
        teacher: The backbone that distillation heads learn from, on the model's device.

    Raises:
        VczooError: `VCZOO_CACHE_GB` is not a valid size.
    """
    store = None if cache is False else open_cache(None if cache is True else Path(cache))
    dtype = torch.float16 if recipe.training.cache_dtype == "float16" else torch.float32
    teacher_frames: Features | None = None
    if teacher and recipe.teacher:
        whole = recipe.model_copy(update={"backbone": recipe.teacher, "teacher": None})
        teacher_frames = Features(Model(teacher, {}, {}, None), _described(whole, teacher), store, dtype)
        teacher_frames.at(len(teacher.stages()))
    return Features(model, _described(recipe, model.backbone), store, dtype, teacher_frames)


def _described(recipe: Recipe, backbone: Backbone) -> dict[str, Any]:
    """The settings and versions that decide, besides the weights, the outputs of the backbone's stages."""
    options = {name: value for name, value in recipe.backbone.options.items() if name != "weights"}
    packages = {"vczoo", type(backbone).__module__.partition(".")[0]}
    return {
        "backbone": {"use": recipe.backbone.use, **options, "settings": digest_of_settings(recipe.backbone.options)},
        "versions": {**library_versions(distributions(recipe)), "sources": digest_of_sources(packages)},
    }


def segments_by_split(
    features: Features, corpus: Corpus, speakers: Sequence[str], settings: Training
) -> dict[Split, SegmentBatches]:
    """The batches of each split; training also uses the versions of recordings that the settings ask for."""
    seconds = settings.crop_seconds
    versions = [Version(speed, variant) for variant in range(settings.variants) for speed in settings.content_speeds]
    parts = {split: [part for u in corpus.split(split) for part in u.parts(LONGEST_SECONDS)] for split in SPLITS}
    clips = {split: SegmentBatches(features, parts[split], speakers, seconds) for split in SPLITS[1:]}
    train = SegmentBatches(features, parts["train"], speakers, seconds, versions=versions, mask=settings.spec_augment)
    return {**clips, "train": train}


def check_versions(owned: nn.ModuleDict, settings: Training) -> None:
    """Check that the backbone is frozen if `training.content_speeds` is used.

    Args:
        owned: All modules that training can change, from `vczoo.training.optimizer.trainable`.
        settings: The settings of the training.

    Raises:
        ContractError: There are speeds other than 1, but a stage of the backbone trains.
    """
    if set(settings.content_speeds) != {1.0} and any(True for _ in owned["backbone"].parameters()):
        raise ContractError(
            f"training.content_speeds is {list(settings.content_speeds)}, which is for a backbone that is wholly "
            "frozen; freeze it (freezing.use=full), or leave content_speeds at [1.0]"
        )


def check_average(backbone: Backbone, freezing: Freezing, settings: Training) -> None:
    """Check that no stage is frozen again after it trained, if `training.average` is used.

    Args:
        backbone: The backbone.
        freezing: The strategy of the backbone.
        settings: The settings of the training.

    Raises:
        ContractError: A stage is frozen again. Its cached outputs would not be those of the average.
    """
    if not settings.average:
        return
    if freezing.adapts:
        raise ContractError(
            "training.average is for a strategy that never freezes a stage that has trained, but "
            f"{type(freezing).__name__} does; leave training.average at 0"
        )
    count = len(backbone.stages())
    trained: set[int] = set()
    for epoch in range(settings.epochs):
        training = {index for index, value in enumerate(freezing.multipliers(count, epoch)) if value > 0}
        if again := sorted(trained - training):
            names = ", ".join(backbone.stages()[index].name for index in again)
            raise ContractError(
                f"training.average is for a strategy that never freezes a stage that has trained, but "
                f"{type(freezing).__name__} freezes {names} again in epoch {epoch}; leave training.average at 0"
            )
        trained |= training


def check_consistency(owned: nn.ModuleDict, settings: Training) -> None:
    """Check that part of the backbone trains if `training.consistency` is used.

    Args:
        owned: All modules that training can change, from `vczoo.training.optimizer.trainable`.
        settings: The settings of the training.

    Raises:
        ContractError: `consistency` is set, but no stage of the backbone ever trains.
    """
    if settings.consistency and not any(True for _ in owned["backbone"].parameters()):
        raise ContractError(
            f"training.consistency is {settings.consistency:g}, which is for a backbone that trains, but this one is "
            "wholly frozen; unfreeze part of it (freezing.use=none, or partial), or leave consistency out"
        )


def check_shards(owned: nn.ModuleDict, model: Model, sharded: bool) -> None:
    """Check that a model can be sharded.

    Args:
        owned: All modules that training can change, from `vczoo.training.optimizer.trainable`.
        model: The model to train.
        sharded: Whether each process holds only a part of it.

    Raises:
        ContractError: The model has a text head, and a stage of the backbone trains. Recordings of equal length run
            together. With whole recordings one process may have more lengths than another, and would wait forever.
    """
    if sharded and model.text_heads and any(True for _ in owned["backbone"].parameters()):
        raise ContractError(
            "with a text head, which learns from whole recordings, --shard is for a backbone that is wholly frozen; "
            "freeze it (freezing.use=full), or leave --shard out"
        )


def unmasked_note(backbone: Backbone, freezing: ModelFreezing, settings: Training) -> str:
    """A note if SpecAugment has no effect in some epochs, because segments are cut from the samples; otherwise ""."""
    if not settings.spec_augment:
        return ""
    count = len(backbone.stages())
    depths = {frozen_depth(freezing.multipliers(count, epoch)) for epoch in range(settings.epochs)}
    unmasked = sorted(depth for depth in depths if find_time_axis(backbone, depth) is None)
    if not unmasked:
        return ""
    stages = ", ".join(str(depth) for depth in unmasked)
    return (
        f"training.spec_augment has no effect while {stages} of {count} stages are frozen, because the output of this "
        "backbone cannot be cut in time there. training.variants always works"
    )
