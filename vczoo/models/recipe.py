"""Recipes: a name or file and `key=value` overrides in, a validated `Recipe` out, with all faults in one report."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vczoo.errors import RecipeError, VczooError, nearest
from vczoo.io.plain_yaml import dump_plain
from vczoo.models.resolve import read_values
from vczoo.models.selection_metric import Criterion
from vczoo.registry.requirements import parse_need

__all__ = ["HeadPart", "Part", "Recipe", "Training", "VocoderTraining", "read_recipe"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Part(BaseModel):
    """A part by its registered name, with the options that its factory takes."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    use: str

    @property
    def options(self) -> dict[str, Any]:
        """What is given beside the fields that every part of its kind has."""
        return dict(self.__pydantic_extra__ or {})


class HeadPart(Part):
    """A head and its share of the loss.

    Attributes:
        weight: of its loss.
        reads: content, what the backbone makes; or acoustic, the mel that the vocoder reads: a speaker head hears
            there who speaks, where content no longer tells.
        reverse: what the head's gradient is multiplied by, and turned round, on its way into the backbone, which so
            forgets what the head finds (arXiv:1505.07818); 0 turns nothing round.
    """

    weight: float = Field(default=1.0, ge=0)
    reads: Literal["content", "acoustic"] = "content"
    reverse: float = Field(default=0.0, ge=0, le=100)


class Training(_Settings):
    """How a recipe is fine-tuned.

    Attributes:
        epochs: passes over the training data, at most.
        batch_size: crops a step.
        crop_seconds: length of the excerpts that it trains on; an utterance gives one for each crop_seconds.
        optimizer: adamw or adam.
        learning_rate: of the heads, before the schedule.
        backbone_rate: learning rate of the backbone over that of the heads, before the freezing strategy's.
        weight_decay: decoupled for adamw, none for adam.
        schedule: cosine or linear to 0, or constant, after the warm-up.
        warmup: share of all steps in which the rate rises from 0.
        clip_norm: largest norm of the gradient.
        criterion: what makes an epoch better than another, of validation: its loss, the accuracy of the speaker
            heads, or the similarity or the character error of a few held-out conversions (extra `eval`). Between
            equals the loss decides.
        patience: epochs without a better one after which training stops.
        keep: whose weights are kept, those of the best epoch or the last ones. A held-out sentence of a single voice
            says too little to choose by.
        seed: of everything random.
        content_speeds: a wholly frozen backbone hears each excerpt at one of these speeds, formants and pitch moved
            with it, while the target stays: content then tells less of the speaker (NANSY, arXiv:2110.14513).
            Multiples of .05 are resampled fast.
        variants: of every recording that excerpts are cut from: itself, and others with noise and another colour.
        consistency: weight of the mean absolute difference between content and what the same excerpts give when they
            are heard again. Of a backbone that trains, and that perturbs what it hears or drops out: its content then
            tells nothing of what was drawn, which else hides the speaker in training alone. A step costs about half
            as much again.
        spec_augment: the largest share of an excerpt's time, and of its bands or channels, that is hidden in what the
            first trained stage reads (SpecAugment, arXiv:1904.08779).
        cache_dtype: that what frozen stages give is rounded to; float16 takes half the disk.
        precision: of the forward pass; auto is bfloat16 on a GPU that has it, else float32.
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=16, ge=1)
    crop_seconds: float = Field(default=1.92, ge=0.1)
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    backbone_rate: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    clip_norm: float = Field(default=1.0, gt=0)
    criterion: Criterion = "loss"
    patience: int = Field(default=5, ge=1)
    keep: Literal["best", "last"] = "best"
    seed: int = Field(default=0, ge=0, lt=2**63)
    content_speeds: tuple[Annotated[float, Field(ge=0.5, le=2.0)], ...] = Field(default=(1.0,), min_length=1)
    variants: int = Field(default=1, ge=1, le=64)
    consistency: float = Field(default=0.0, ge=0)
    spec_augment: float = Field(default=0.0, ge=0, lt=1)
    cache_dtype: Literal["float32", "float16"] = "float32"
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"


class VocoderTraining(_Settings):
    """How a recipe's vocoder is trained by itself, on recordings.

    Attributes:
        steps: of the optimizer.
        batch_size: excerpts a step.
        crop_seconds: length of an excerpt.
        learning_rate: at first, of the vocoder and of the discriminators; it falls to 0 along a cosine.
        mel_weight: of the mean distance between log-mels, in nepers.
        stft_weight: of the multi-resolution STFT distance.
        adversarial_weight: of what the discriminators find.
        feature_weight: of the distance between what the discriminators' layers see.
        adversarial_from: share of the steps after which the discriminators join; 1 for never.
        objective: of the discriminators.
        discriminators: published, those of periods and spectra that look at every frame and band; or coarse, of
            spectra alone, whose strides make a step about as dear as without them.
        discriminator_channels: of their first layer; 32 is as published.
        gain_db: by how much excerpts are made louder or quieter at most.
        validate_every: steps between validations, each of which writes a checkpoint, too.
        seed: of everything random.
    """

    steps: int = Field(default=20000, ge=1)
    batch_size: int = Field(default=16, ge=1)
    crop_seconds: float = Field(default=0.64, ge=0.1)
    learning_rate: float = Field(default=5e-4, gt=0)
    mel_weight: float = Field(default=45.0, ge=0)
    stft_weight: float = Field(default=2.5, ge=0)
    adversarial_weight: float = Field(default=1.0, ge=0)
    feature_weight: float = Field(default=2.0, ge=0)
    adversarial_from: float = Field(default=0.5, ge=0, le=1)
    objective: Literal["least-squares", "hinge"] = "least-squares"
    discriminators: Literal["published", "coarse"] = "published"
    discriminator_channels: int = Field(default=32, ge=1)
    gain_db: float = Field(default=0.0, ge=0, le=60)
    validate_every: int = Field(default=500, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _learns_from_the_first_step(self) -> VocoderTraining:
        if not self.mel_weight and not self.stft_weight and self.adversarial_from > 0:
            raise ValueError("mel_weight and stft_weight are both 0: nothing trains before the discriminators join")
        if not (self.mel_weight or self.stft_weight or self.adversarial_weight or self.feature_weight):
            raise ValueError("every weight is 0: there is nothing to learn from")
        return self


class Recipe(_Settings):
    """Names and plain values that make a model.

    Attributes:
        teacher: a backbone that heads of frames learn from in training; a run is loaded without it.
        needs: the plugins that its parts come from, with their versions where these matter: `vczoo-timm>=0.1`. It is
            read where a part is not to be found, so that an error can say what to install.
        start: the run whose tensors a model of this recipe begins with, in place of its parts' own weights: the name
            of one inside the package, or the path of a run's folder. A run that is saved names none: it holds them.
        training: how it is trained.
        tuning: how a run of it is tuned to speakers of its own (`rehearse` false); as `training` where None.
        vocoder_training: how `train_vocoder` trains the vocoder by itself; as the defaults say where None.
    """

    name: str
    summary: Annotated[str, Field(min_length=1)]
    licence: str = "Apache-2.0"
    paper: str = ""
    needs: Annotated[tuple[str, ...], Field(max_length=64)] | None = None
    start: str = ""
    backbone: Part
    freezing: Part
    heads: Annotated[dict[str, HeadPart], Field(min_length=1)]
    vocoder: Part | None = None
    teacher: Part | None = None
    training: Training = Training()
    tuning: Training | None = None
    vocoder_training: VocoderTraining | None = None

    @field_validator("heads")
    @classmethod
    def _names_of_heads(cls, heads: dict[str, HeadPart]) -> dict[str, HeadPart]:
        for name in heads:
            if not _NAME.fullmatch(name):
                raise ValueError(f"head {name!r}: a name is letters, digits, _ and -, and starts with a letter")
        return heads

    @field_validator("needs")
    @classmethod
    def _needs_are_distributions(cls, needs: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for need in needs or ():
            try:
                parse_need(need)
            except VczooError as error:
                raise ValueError(str(error)) from error
        return needs

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Recipe:
        """Validate a resolved mapping.

        Raises:
            RecipeError: with every fault.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            faults = [_sentence(fault) for fault in error.errors()]
            raise RecipeError(str(values.get("name", "?")), faults) from None

    @classmethod
    def salvage(cls, values: Mapping[str, Any]) -> tuple[Recipe | None, list[str]]:
        """Validate a resolved mapping without what is wrong in it, so that the rest can be checked, too.

        Returns:
            The recipe without its faulty settings, None where too little is left; and the faults.
        """
        try:
            return cls.model_validate(dict(values)), []
        except ValidationError as error:
            faults = error.errors()
        rest = copy.deepcopy(dict(values))
        for fault in faults:
            _remove(rest, fault["loc"])
        try:
            return cls.model_validate(rest), [_sentence(fault) for fault in faults]
        except ValidationError:
            return None, [_sentence(fault) for fault in faults]

    def to_plain(self) -> dict[str, Any]:
        """The recipe as a mapping that `parse` reads again."""
        # Left out where there is none, so that a vczoo that does not know it reads the runs of such recipes.
        return self.model_dump(exclude_none=True, exclude=None if self.start else {"start"})

    def to_yaml(self) -> str:
        """The recipe as YAML, resolved: without `extends`."""
        return dump_plain(self.to_plain())


_SECTIONS: dict[str, type[_Settings]] = {
    "training": Training,
    "tuning": Training,
    "vocoder_training": VocoderTraining,
}


def read_recipe(name: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> Recipe:
    """Read a recipe by name or from a .yaml file, with overrides: `["training.epochs=3"]` or a mapping of the same.

    Raises:
        UnknownNameError: no recipe has the name.
        RecipeError: with every fault of the recipe.
        VczooError: the file cannot be read, or an override is not `key=value`.
    """
    return Recipe.parse(read_values(name, overrides))


def _remove(values: Any, place: tuple[int | str, ...]) -> None:
    for step in place[:-1]:
        if not isinstance(values, dict) or step not in values:
            return
        values = values[step]
    if isinstance(values, dict):
        values.pop(place[-1], None)


def _sentence(fault: Any) -> str:
    """One of pydantic's faults as: place, what was wrong, what was got, and the nearest names where one is unknown."""
    place = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        section = place.partition(".")[0] if "." in place else ""
        fields = _SECTIONS.get(section, Recipe).model_fields
        known = [f"{section}.{name}" if section in _SECTIONS else name for name in fields]
        hint = nearest(place, [*known, "backbone.weights", "extends"])
        return f"{place}: no such setting{hint} Settings here: {', '.join(known)}"
    if fault["type"] == "missing":
        return f"{place}: required, and not given"
    return f"{place}: {fault['msg']}, got {fault['input']!r}"
