"""Resolution of recipes to plain mappings: files, `extends` and `key=value` overrides. It does not import pydantic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vczoo.errors import RecipeError, UnknownNameError, VczooError
from vczoo.io.plain_yaml import merge, parse_plain, parse_value, read_recipe_text
from vczoo.registry.zoo import the_zoo

__all__ = ["nest", "read_values", "resolve"]

LONGEST_CHAIN = 32  # recipes that extend each other
LONGEST_NAME = 4096  # characters, of a recipe or of the path of its file


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


def resolve(name: str | Path) -> dict[str, Any]:
    """Read a recipe as a mapping, merged over the recipe that it `extends`, which may extend another one.

    Args:
        name: Name of a recipe, or path of a .yaml file.

    Raises:
        RecipeError: The chain of `extends` is a cycle, has more than 32 recipes or names an unknown one.
        UnknownNameError: There is no recipe of that name.
        VczooError: A file cannot be read.
    """
    chain = [str(name)]
    layers: list[dict[str, Any]] = []
    while True:
        try:
            values, label = _read(chain[-1])
        except UnknownNameError as error:
            if not layers:
                raise
            raise RecipeError(layers[-1]["name"], [f"extends: {error}"]) from error
        parent = values.pop("extends", None)
        layers.append({**values, "name": label})
        if parent is None:
            break
        if not isinstance(parent, str) or len(parent) > LONGEST_NAME:
            raise RecipeError(label, [f"extends: expected the name of one recipe or file, got {str(parent)[:80]!r}"])
        if parent in chain:  # not the label: mine/demo.yaml may extend the recipe demo
            raise RecipeError(label, [f"extends makes a cycle: {' -> '.join((*chain, parent))}"])
        chain.append(parent)
        if len(chain) > LONGEST_CHAIN:
            shown = " -> ".join((*chain[:3], "…", chain[-1]))
            raise RecipeError(layers[0]["name"], [f"extends: more than {LONGEST_CHAIN} recipes in a chain ({shown})"])
    merged = layers.pop()
    while layers:
        merged = merge(merged, layers.pop())
    return merged


def _read(name: str) -> tuple[dict[str, Any], str]:
    """The content of one recipe, and its name without a folder: "name" of "distribution:name"."""
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        file = the_zoo().recipe(name)
        return parse_plain(file.read(), f"recipe {name}"), file.name
    try:
        text = read_recipe_text(path)
    except (FileNotFoundError, NotADirectoryError):
        raise VczooError(f"{path}: no such recipe file; `vczoo copy NAME {path.name}` creates one to edit") from None
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise VczooError(f"{path}: cannot be read as UTF-8 text ({reason}); a recipe is a YAML file") from error
    return parse_plain(text, f"recipe {name}"), path.stem


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
