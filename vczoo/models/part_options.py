"""A part's name and options out of a recipe in; its faults, or the part ready to be made, out."""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import parent_process
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from vczoo.errors import ContractError, VczooError
from vczoo.io.deprecation import warn_at_caller
from vczoo.io.text import nearest
from vczoo.models.recipe import Part
from vczoo.registry.entry import Entry, Kind
from vczoo.registry.weights import choose_weights, is_weights_file
from vczoo.registry.zoo import the_zoo

__all__ = ["CONTEXT", "CheckedPart", "check_part", "run_check"]

# What a factory may ask for by naming it in its signature; everything else in the signature is an option.
CONTEXT = ("frames", "acoustic", "num_speakers", "labels", "embedding_width")


_told: set[tuple[Kind, str]] = set()

_NEEDS = {
    "frames": "a backbone",
    "acoustic": "a vocoder",
    "num_speakers": "speakers",
    "labels": "labels",
    "embedding_width": "a speaker head before it",
}


@dataclass(frozen=True)
class CheckedPart:
    """A part whose name and options hold: everything but its context."""

    entry: Entry
    factory: Callable[..., Any]
    options: dict[str, Any]

    def asks_for(self, name: str) -> bool:
        """Whether the factory names this of `CONTEXT` in its signature."""
        return name in inspect.signature(self.factory).parameters

    def make(self, context: Mapping[str, Any]) -> Any:
        """Call the factory with what it asks for of the context.

        Raises:
            ContractError: it asks for what the recipe does not have, or it does not bear its options.
        """
        missing = [name for name in CONTEXT if self.asks_for(name) and context.get(name) is None]
        if missing:
            raise ContractError(
                f"{self.entry.kind} {self.entry.name!r} needs {_NEEDS[missing[0]]}, which this recipe does not have"
            )
        given = {name: context[name] for name in CONTEXT if self.asks_for(name)}
        try:
            return self.factory(**self.entry.arguments, **self.options, **given)
        except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
            said = (str(error).splitlines() or [""])[0]
            raise ContractError(
                f"{self.entry.kind} {self.entry.name!r} cannot be made of these options ({type(error).__name__}: "
                f"{said[:200]}); if they are in order, report it to the author of its plugin"
            ) from error


def check_part(
    faults: list[str], place: str, kind: Kind, part: Part, *, weights_needed: bool = True
) -> CheckedPart | None:
    """Look a part up and check its options against its factory's signature; add its faults, or give it ready.

    Args:
        weights_needed: whether the weights that it names must be there; a run that keeps them needs them no more.
    """
    try:
        entry, tag = the_zoo().find(kind, part.use)
        factory = entry.load()
    except VczooError as error:
        faults.append(f"{place}.use: {error}")
        return None
    _tell_replaced(entry, part.use)
    before = len(faults)
    hints = _hints(factory)
    taken = {*CONTEXT, *entry.arguments}
    parameters = {
        name: parameter for name, parameter in inspect.signature(factory).parameters.items() if name not in taken
    }
    # The option wins over the tag of `timm/NAME.TAG`: `backbone.weights=random` must reach such a recipe, too.
    given = ({"weights": tag} if tag else {}) | part.options
    options: dict[str, Any] = {}
    for name, value in given.items():
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
        f"{place}.{name}: required by {part.use}, and not given"
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and name not in given
    ]
    if "weights" in parameters:
        options.setdefault("weights", parameters["weights"].default)
        if weights_needed:
            run_check(faults, f"{place}.weights", lambda: _check_weights(entry, options["weights"]))
    return CheckedPart(entry, factory, options) if len(faults) == before else None


def _tell_replaced(entry: Entry, use: str) -> None:
    """Warn of a name that is kept for old recipes alone: once, however often it is looked up, by workers too."""
    if entry.replaced_by and (entry.kind, use) not in _told and parent_process() is None:
        _told.add((entry.kind, use))
        warn_at_caller(f"{entry.kind} {use!r} is replaced by {entry.replaced_by!r}; write `use: {entry.replaced_by}`")


def run_check(
    faults: list[str], place: str, action: Callable[[], Any], passing: tuple[type[VczooError], ...] = ()
) -> Any:
    """Do something; a mistake of the caller's becomes a fault at its place, and None is what is got.

    Errors of the kinds in `passing` are not for the report and go through.
    """
    try:
        return action()
    except passing:
        raise
    except (VczooError, ImportError) as error:
        faults.append(f"{place}: {error}")
        return None


def _check_weights(entry: Entry, weights: Any) -> None:
    if weights == "random":
        return
    if is_weights_file(str(weights)):
        if not os.path.exists(weights):  # which Path raises for, where a name is too long to be one
            raise VczooError(f"no such file or folder of weights: {weights}")
        return
    choose_weights(entry.name, str(weights), entry.weights)


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    target = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError):  # an annotation that only a type checker can resolve
        return {}
