"""Resolution of recipes to plain mappings: files, `extends` and `key=value` overrides. It does not import pydantic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vczoo.errors import RecipeError, UnknownNameError, VczooError
from vczoo.io.plain_yaml import merge, parse_plain, parse_value
from vczoo.registry.zoo import the_zoo

__all__ = ["nest", "read_values", "resolve"]


def read_values(name: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> dict[str, Any]:
    """Read a recipe as a mapping, with overrides applied but unchecked.

    Args:
        name: Name of a recipe, or path of a .yaml file.
        overrides: Overrides, as for `nest`.

    Raises:
        RecipeError: The chain of `extends` is a cycle or names an unknown recipe.
        UnknownNameError: There is no recipe of that name.
        VczooError: The file cannot be read, or an override is malformed.
    """
    return merge(resolve(name), nest(overrides))


def resolve(name: str | Path, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a recipe as a mapping, merged over the recipe that it `extends`.

    Args:
        name: Name of a recipe, or path of a .yaml file.
        seen: Names of the recipes that extend this one, to detect cycles.

    Raises:
        RecipeError: The chain of `extends` is a cycle or names an unknown recipe.
        UnknownNameError: There is no recipe of that name.
        VczooError: The file cannot be read.
    """
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise VczooError(f"{path}: no such recipe file; `vczoo copy NAME {path.name}` creates one to edit")
        try:
            text, label = path.read_text(encoding="utf-8"), path.stem
        except (OSError, UnicodeDecodeError) as error:
            raise VczooError(f"{path}: cannot be read as UTF-8 text ({error}); a recipe is a YAML file") from error
    else:
        file = the_zoo().recipe(str(name))
        text, label = file.read(), file.name  # "name" of "distribution:name"
    values = parse_plain(text, f"recipe {name}")
    parent = values.pop("extends", None)
    values["name"] = label
    if parent is None:
        return values
    chain = (*seen, str(name))  # not the label: mine/demo.yaml may extend the recipe demo
    if str(parent) in chain:
        raise RecipeError(label, [f"extends makes a cycle: {' -> '.join((*chain, str(parent)))}"])
    try:
        return merge(resolve(str(parent), chain), values)
    except UnknownNameError as error:
        raise RecipeError(label, [f"extends: {error}"]) from error


def nest(overrides: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Turn overrides into a nested mapping.

    Args:
        overrides: A list such as `["training.epochs=3"]`, or a mapping such as `{"training.epochs": 3}`.

    Raises:
        VczooError: An override is not `key=value`, or its value is not plain YAML.
    """
    if isinstance(overrides, Mapping):
        pairs = list(overrides.items())
    else:
        pairs = []
        for override in overrides:
            key, equals, text = override.partition("=")
            if not equals or not key:
                raise VczooError(f"override {override!r} is not key=value; write, for example, training.epochs=3")
            pairs.append((key, parse_value(text)))
    nested: dict[str, Any] = {}
    for key, value in pairs:
        inner = value
        for part in reversed(str(key).split(".")):
            inner = {part: inner}
        nested = _overlay(nested, inner)
    return nested


def _overlay(below: Any, above: Any) -> Any:
    """Merge overrides with each other. Unlike `merge`, keep `null`, and keep the options of a replaced `use`.

    What they remove depends on the recipe, over which `merge` lays the result.
    """
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: _overlay(below.get(key), value) for key, value in above.items()}
