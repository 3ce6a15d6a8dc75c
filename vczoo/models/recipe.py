"""Recipe schema and validation.

`read_recipe` reads a recipe by name or from a file, applies `key=value` overrides, and reports every fault at once.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from vczoo.errors import RecipeError, VczooError
from vczoo.io.html_table import html_table
from vczoo.io.plain_yaml import dump_plain
from vczoo.io.text import nearest
from vczoo.models.resolve import read_values
from vczoo.models.training_settings import LARGEST_WEIGHT, Settings, Training, VocoderTraining
from vczoo.registry.requirements import parse_need

__all__ = ["FreezingPart", "HeadPart", "Part", "Recipe", "read_recipe"]

MOST_HEADS = 64
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Part(BaseModel):
    """A registered part and the options for its factory.

    Attributes:
        use: Registered name of the part.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    use: str

    @property
    def options(self) -> dict[str, Any]:
        """Options for the factory: every key that is not a field of this class."""
        return dict(self.__pydantic_extra__ or {})


class FreezingPart(Part):
    """The freezing strategy of the backbone, and those of other parts.

    A recipe writes it as one strategy, `{use: partial}`, after which all heads train whole; or by part,
    `{backbone: {use: full}, voice: {use: lora}}`. A strategy without options may be its name alone, `voice: film-only`.
    Without `backbone`, the backbone is frozen.

    Attributes:
        parts: Strategies of other parts, by the name of a head, or `vocoder`.
    """

    parts: dict[str, Part] = {}

    @classmethod
    def split(cls, values: Any, heads: Collection[str]) -> Any:
        """Turn what a recipe says into the fields of this class. Malformed values stay as they are.

        Args:
            values: The value of `freezing`.
            heads: Names of the recipe's heads. Beside `use`, text is a strategy only for these, `backbone` and
                `vocoder`; elsewhere it is an option.
        """
        if not isinstance(values, Mapping):
            return values
        places = {*heads, "backbone", "vocoder"}
        named = {
            name: {"use": value} if isinstance(value, str) else value
            for name, value in values.items()
            if isinstance(value, Mapping)
            or (isinstance(value, str) and name != "use" and (name in places or "use" not in values))
        }
        if not named:
            return values
        whole = {name: value for name, value in values.items() if name not in named}
        backbone = named.pop("backbone", whole if "use" in whole else {"use": "full"})
        return {**backbone, "parts": named} if isinstance(backbone, Mapping) else values

    @model_serializer(mode="wrap")
    def _by_part(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write one strategy as always, and several by part."""
        values: dict[str, Any] = standard(self)
        parts = values.pop("parts", {})
        return {"backbone": values, **parts} if parts else values


class HeadPart(Part):
    """A head and its weight in the loss.

    Attributes:
        weight: Weight of the head's loss in the total loss.
        reads: Input of the head: `content`, the backbone's frames; or `acoustic`, the mels that the vocoder reads. Use
            `acoustic` for a speaker head if the content no longer identifies the speaker.
        reverse: Strength of the gradient reversal (arXiv:1505.07818): the head's gradient is multiplied by the negative
            of this on its way into the backbone, so the backbone unlearns what the head predicts. 0 turns it off.
    """

    weight: float = Field(default=1.0, ge=0, le=LARGEST_WEIGHT)
    reads: Literal["content", "acoustic"] = "content"
    reverse: float = Field(default=0.0, ge=0, le=100)


class Recipe(Settings):
    """Everything needed to build and train a model, as names and plain values.

    Attributes:
        name: Name of the recipe.
        summary: One line on what the recipe is for.
        licence: SPDX identifier of the recipe's license.
        paper: Reference of the paper that the recipe follows, such as `arXiv:2305.18975`; empty if there is none.
        needs: Plugins that provide its parts, with a version where it matters: `vczoo-timm>=0.1`. If a part is not
            found, the error names the plugin to install.
        start: Run to initialize the model from, instead of its parts' own weights (a warm start): the name of a bundled
            run, or the path of a run folder. Empty in the recipe of a saved run, which holds the tensors itself.
        backbone: Part that turns a waveform into content frames.
        freezing: Strategy that decides which backbone stages train, and strategies of other parts.
        heads: Heads by name.
        vocoder: Part that turns acoustic frames into a waveform; None for a recipe that only recognizes.
        pitch: Pitch tracker; None means `dio`.
        teacher: Backbone that frame heads learn from in training. Loading a run leaves it out.
        training: Settings of the fine-tuning.
        tuning: Settings for fine-tuning a run without rehearsing its speakers (`rehearse` is False). None means
            `training`.
        vocoder_training: Settings of `train_vocoder`, which trains the vocoder alone; None means the defaults.
    """

    name: str
    summary: Annotated[str, Field(min_length=1)]
    licence: str = "Apache-2.0"
    paper: str = ""
    needs: Annotated[tuple[str, ...], Field(max_length=64)] | None = None
    start: str = ""
    backbone: Part
    freezing: FreezingPart
    heads: Annotated[dict[str, HeadPart], Field(min_length=1, max_length=MOST_HEADS)]
    vocoder: Part | None = None
    pitch: Part | None = None
    teacher: Part | None = None
    training: Training = Training()
    tuning: Training | None = None
    vocoder_training: VocoderTraining | None = None

    def __repr__(self) -> str:
        parts = [self.backbone.use, *(head.use for head in self.heads.values())]
        return f"<Recipe {self.name}: {', '.join([*parts, self.vocoder.use] if self.vocoder else parts)}>"

    @model_validator(mode="before")
    @classmethod
    def _split_freezing(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "freezing" not in values:
            return values
        heads = values["heads"] if isinstance(values.get("heads"), Mapping) else ()
        return {**values, "freezing": FreezingPart.split(values["freezing"], heads)}

    def _repr_html_(self) -> str:
        """The parts for notebooks: one row per part, with its options."""
        parts = {
            "backbone": self.backbone,
            "freezing": self.freezing,
            **{f"head {name}": head for name, head in self.heads.items()},
            "vocoder": self.vocoder,
            "pitch": self.pitch,
            "teacher": self.teacher,
        }
        rows = [
            {
                "part": name,
                "use": part.use,
                "options": ", ".join(f"{key}: {value}" for key, value in part.options.items()),
            }
            for name, part in parts.items()
            if part is not None
        ]
        return html_table(rows, [f"{self.name}: {self.summary}"])

    @field_validator("heads")
    @classmethod
    def _names_of_heads(cls, heads: dict[str, HeadPart]) -> dict[str, HeadPart]:
        for name in heads:
            if not _NAME.fullmatch(name):
                raise ValueError(f"head {name!r}: a name is letters, digits, _ and -, and starts with a letter or _")
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
            RecipeError: The recipe is faulty. The error lists every fault.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            faults = [_sentence(fault) for fault in error.errors()]
            raise RecipeError(str(values.get("name", "?")), faults) from None

    @classmethod
    def salvage(cls, values: Mapping[str, Any]) -> tuple[Recipe | None, list[str]]:
        """Validate a resolved mapping, dropping faulty settings so that the rest can still be checked.

        Returns:
            The recipe without its faulty settings, or None if too little is left; and the faults.
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
        """The recipe as a mapping that `parse` can read."""
        # An empty start is left out, so that versions of vczoo without this field can read the run.
        return self.model_dump(exclude_none=True, exclude=None if self.start else {"start"})

    def to_yaml(self) -> str:
        """The resolved recipe as YAML, without `extends`."""
        return dump_plain(self.to_plain())


_SECTIONS: dict[str, type[Settings]] = {
    "training": Training,
    "tuning": Training,
    "vocoder_training": VocoderTraining,
}


def read_recipe(name: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> Recipe:
    """Read and validate a recipe.

    Args:
        name: Name of a recipe, or path of a .yaml file.
        overrides: Changed settings, as `["training.epochs=3"]` or `{"training.epochs": 3}`.

    Raises:
        UnknownNameError: No recipe has this name.
        RecipeError: The recipe is faulty. The error lists every fault.
        VczooError: The file cannot be read, or an override is not `key=value`.
    """
    return Recipe.parse(read_values(name, overrides))


def _remove(values: Any, path: tuple[int | str, ...]) -> None:
    for step in path[:-1]:
        if not isinstance(values, dict) or step not in values:
            return
        values = values[step]
    if isinstance(values, dict):
        values.pop(path[-1], None)


def _sentence(fault: Any) -> str:
    """One pydantic fault as a sentence: the key, what is wrong, the value, and near matches for an unknown key."""
    key = ".".join(str(step) for step in fault["loc"]).replace("freezing.parts.", "freezing.")
    if fault["type"] == "extra_forbidden":
        section = key.partition(".")[0] if "." in key else ""
        fields = _SECTIONS.get(section, Recipe).model_fields
        names = [f"{section}.{name}" if section in _SECTIONS else name for name in fields]
        hint = nearest(key, [*names, "backbone.weights", "extends"])
        return f"{key}: no such setting{hint} Settings here: {', '.join(names)}"
    if fault["type"] == "missing":
        return f"{key}: required, but missing"
    return f"{key}: {fault['msg']}, got {fault['input']!r}"
