"""Checks of a recipe's parts: the name of a part, and its options against its factory's signature."""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import parent_process
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from vczoo.errors import ContractError, VczooError, first_line
from vczoo.io.deprecation import warn_at_caller
from vczoo.io.problems import Problems
from vczoo.io.text import nearest
from vczoo.models.recipe import Part, Recipe
from vczoo.modules.backbones.layer_mix import MIX, with_layer_mix
from vczoo.registry.entry import Entry, Kind
from vczoo.registry.weights import choose_weights, is_weights_file
from vczoo.registry.zoo import the_zoo

__all__ = [
    "CONTEXT",
    "REQUIRED",
    "CheckedPart",
    "build_part",
    "check_part",
    "make_part",
    "option_defaults",
    "with_defaults",
]

# What a factory receives from the model if its signature names it. All its other parameters are options.
CONTEXT = ("frames", "acoustic", "num_speakers", "labels", "embedding_width")

REQUIRED = "(required)"  # in place of a default

T = TypeVar("T")

_warned: set[tuple[Kind, str]] = set()  # replaced names that this process has already warned of

_NEEDS = {
    "frames": "a backbone",
    "acoustic": "a vocoder",
    "num_speakers": "speakers",
    "labels": "labels",
    "embedding_width": "a speaker head before it",
}


@dataclass(frozen=True)
class CheckedPart:
    """A part whose name and options are valid; only its context is missing.

    Attributes:
        entry: Entry of the part in the registry.
        factory: Function or class that builds the part.
        options: Validated options for the factory.
    """

    entry: Entry
    factory: Callable[..., Any]
    options: dict[str, Any]

    def asks_for(self, name: str) -> bool:
        """Whether the factory's signature names this entry of `CONTEXT`."""
        return name in self._parameters

    @cached_property
    def _parameters(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.factory).parameters)

    def make(self, context: Mapping[str, Any]) -> Any:
        """Build the part: call the factory with its options and the entries of the context that it asks for.

        Args:
            context: Values for the names in `CONTEXT`. Missing or None means that the recipe has no such thing.

        Raises:
            ContractError: The factory needs something that the recipe does not have, or fails with these options.
        """
        missing = [name for name in CONTEXT if self.asks_for(name) and context.get(name) is None]
        if missing:
            raise ContractError(
                f"{self.entry.kind} {self.entry.name!r} needs {_NEEDS[missing[0]]}, which this recipe does not have"
            )
        requested = {name: context[name] for name in CONTEXT if self.asks_for(name)}
        try:
            return self.factory(**self.entry.arguments, **self.options, **requested)
        except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
            raise ContractError(
                f"{self.entry.kind} {self.entry.name!r} cannot be built with these options ({type(error).__name__}: "
                f"{first_line(error)}); if the options are correct, report this to the author of the plugin"
            ) from error


def make_part(kind: Kind, name: str) -> Any:
    """Make a part that no recipe names, with its default options.

    Args:
        kind: Kind of the part.
        name: Its registered name, or NAME.TAG to choose its weights, too.

    Raises:
        VczooError: Nothing of this kind has the name (the message lists the nearest names), or it cannot be made.
    """
    problems, instance = Problems(), None
    if part := check_part(problems, kind, kind, Part(use=name)):
        with problems.at(kind):
            instance = part.make({})
    if problems:
        raise VczooError("\n".join(problems.faults))
    return instance


def build_part(
    recipe: Recipe,
    place: str,
    kind: Kind,
    part: Part,
    build: Callable[[CheckedPart], T],
    *,
    passing: type[VczooError] | tuple[type[VczooError], ...] = (),
    weights_needed: bool = True,
) -> T:
    """Check one part of a recipe and build it.

    Args:
        recipe: The recipe.
        place: Key of the part in the recipe.
        kind: Kind of the part.
        part: Name and options of the part.
        build: Builds the checked part. Its errors are faults of the recipe.
        passing: Types of errors that are raised instead.
        weights_needed: As for `check_part`.

    Raises:
        RecipeError: The part has faults. The message lists all of them.
    """
    problems = Problems()
    built: list[T] = []
    if checked := check_part(problems, place, kind, part, weights_needed=weights_needed):
        with problems.at(place, passing=passing):
            built.append(build(checked))
    problems.raise_if_any(recipe.name)
    return built[0]


def check_part(
    problems: Problems, place: str, kind: Kind, part: Part, *, weights_needed: bool = True
) -> CheckedPart | None:
    """Look a part up and check its options against its factory's signature.

    Args:
        problems: Collector to which the part's faults are added.
        place: Key of the part in the recipe, such as `heads.voice`, for messages.
        kind: Kind of the part.
        part: Name and options of the part.
        weights_needed: Whether the weights that the part names must exist. False if a run provides its tensors.

    Returns:
        The checked part, or None if it has faults.
    """
    faults = problems.faults
    try:
        entry, tag = the_zoo().find(kind, part.use)
        factory = entry.load()
    except VczooError as error:
        faults.append(f"{place}.use: {error}")
        return None
    _warn_if_replaced(entry, part.use)
    before = len(faults)
    hints = _hints(factory)
    reserved = {*CONTEXT, *entry.arguments}
    parameters = {
        name: parameter for name, parameter in inspect.signature(factory).parameters.items() if name not in reserved
    }
    # The option overrides the tag of `timm/NAME.TAG`, so that `backbone.weights=random` works for such a recipe, too.
    raw_options = ({"weights": tag} if tag else {}) | part.options
    if kind == "backbone" and raw_options.get("layer") == MIX:  # of any backbone, whether or not it has such an option
        del raw_options["layer"]
        factory = with_layer_mix(factory)
    options: dict[str, Any] = {}
    for name, value in raw_options.items():
        if name not in parameters:
            hint = nearest(name, parameters)
            faults.append(f"{place}.{name}: {part.use} has no such option{hint} It has: {', '.join(parameters)}")
            continue
        try:
            options[name] = TypeAdapter(hints.get(name, Any)).validate_python(value)
        except PydanticSchemaGenerationError:
            options[name] = value
        except ValidationError as error:
            faults += [f"{place}.{name}: {fault['msg']}, got {fault['input']!r}" for fault in error.errors()]
    faults += [
        f"{place}.{name}: required by {part.use}, but missing; add it to the recipe"
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and name not in raw_options
    ]
    if "weights" in parameters:
        options.setdefault("weights", parameters["weights"].default)
        if weights_needed:
            with problems.at(f"{place}.weights"):
                _check_weights(entry, options["weights"])
    return CheckedPart(entry, factory, options) if len(faults) == before else None


def option_defaults(entry: Entry) -> dict[str, Any]:
    """The options of a part with their defaults; `REQUIRED` for an option without one.

    Raises:
        PluginError: The factory cannot be imported.
    """
    parameters = inspect.signature(entry.load()).parameters
    return {
        name: REQUIRED if parameter.default is inspect.Parameter.empty else parameter.default
        for name, parameter in parameters.items()
        if name not in {*CONTEXT, *entry.arguments}
    }


def with_defaults(recipe: Recipe) -> dict[str, Any]:
    """A recipe as a mapping in which every part has all of its options. Parts that do not load stay as they are."""
    plain = recipe.to_plain()
    parts: list[tuple[Kind, dict[str, Any]]] = [("head", head) for head in plain["heads"].values()]
    places: tuple[tuple[str, Kind], ...] = (
        ("backbone", "backbone"),
        ("teacher", "backbone"),
        ("freezing", "freezing"),
        ("vocoder", "vocoder"),
        ("pitch", "pitch"),
    )
    parts += [(kind, plain[place]) for place, kind in places if "use" in plain.get(place, {})]
    if recipe.freezing.parts:
        parts += [("freezing", part) for part in plain["freezing"].values()]
    for kind, part in parts:
        try:
            entry, tag = the_zoo().find(kind, part["use"])
            options = {
                name: list(default) if isinstance(default, tuple) else default
                for name, default in option_defaults(entry).items()
                if default is not REQUIRED
            }
        except VczooError:
            continue
        given = dict(part)
        part |= options | ({"weights": tag} if tag else {}) | given
    return plain


def _warn_if_replaced(entry: Entry, use: str) -> None:
    """Warn once of a name that only exists for old recipes. Worker processes do not repeat the warning."""
    if entry.replaced_by and (entry.kind, use) not in _warned and parent_process() is None:
        _warned.add((entry.kind, use))
        warn_at_caller(f"{entry.kind} {use!r} is replaced by {entry.replaced_by!r}; write `use: {entry.replaced_by}`")


def _check_weights(entry: Entry, weights: Any) -> None:
    if weights == "random":
        return
    if is_weights_file(str(weights)):
        if not os.path.exists(weights):  # not Path.exists, which raises for names that are too long
            raise VczooError(f"no such file or folder of weights: {weights}")
        return
    choose_weights(entry.name, str(weights), entry.weights)


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    target = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError):  # annotations that only a type checker can resolve
        return {}
