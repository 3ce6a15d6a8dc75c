"""Recipes: a name or file and `key=value` overrides in, a validated `Recipe` out, with all faults in one report."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vczoo.errors import RecipeError, VczooError
from vczoo.io.plain_yaml import dump_plain
from vczoo.io.text import nearest
from vczoo.models.resolve import read_values
from vczoo.models.training_settings import Settings, Training, VocoderTraining
from vczoo.registry.requirements import parse_need

__all__ = ["HeadPart", "Part", "Recipe", "read_recipe"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


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


class Recipe(Settings):
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


_SECTIONS: dict[str, type[Settings]] = {
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
