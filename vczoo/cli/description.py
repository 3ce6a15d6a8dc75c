"""Description of a recipe, a run or a part by its name, as YAML."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vczoo.conversion.name import read_name
from vczoo.errors import UnknownNameError, VczooError
from vczoo.hub.name import is_hub_name
from vczoo.io.plain_yaml import dump_plain
from vczoo.io.text import nearest
from vczoo.models.recipe import read_recipe
from vczoo.registry.zoo import list_models, list_parts

__all__ = ["describe"]


def describe(name: str | Path, overrides: Sequence[str] = ()) -> str:
    """Return a recipe with every option of its parts, the configuration and metrics of a run, or a part.

    Args:
        name: A recipe, its .yaml file, a run folder, or a registered part.
        overrides: Overrides of a recipe's settings.

    Raises:
        UnknownNameError: Nothing has this name, or several things.
        VczooError: The name is that of a run on the Hub, or overrides were passed with a part.
    """
    text = os.fspath(name)
    if isinstance(name, str) and text not in list_models() and (part := _part(text)):
        if overrides:
            raise VczooError(f"{text} is a part, which takes no overrides; its options are set in a recipe")
        return part
    kind, location = _kind(name)
    if kind == "hub":
        raise VczooError(f"{location} is a published run on the Hub; use `vczoo info {location}` to show it")
    if kind == "run":
        from vczoo.runs.run_folder import describe_run

        return describe_run(Path(location))
    from vczoo.models.part_options import with_defaults

    return dump_plain(with_defaults(read_recipe(location, overrides)))


def _part(name: str) -> str:
    """The description of a part, or "" if there is none of that name."""
    if name.endswith((".yaml", ".yml")) or os.path.exists(name):
        return ""
    from vczoo.cli.part_description import describe_part, find_part

    found = find_part(name)
    return dump_plain(describe_part(*found)) if found else ""


def _kind(name: str | Path) -> tuple[str, str]:
    """What a name means, as `read_name`; an unknown name gets the nearest recipes and parts."""
    text, parts = os.fspath(name), list_parts()
    prefixes = {part.partition("/")[0] for part in parts if "/" in part}
    if is_hub_name(text) and text.partition("/")[0] in prefixes:
        raise UnknownNameError(f"no part is called {text!r}{nearest(text, parts)} `vczoo list --parts all` lists all")
    try:
        return read_name(name)
    except UnknownNameError as error:
        hint = nearest(text, [*list_models(), *parts])
        if "did you mean" in hint and "no recipe is called" in str(error):
            raise UnknownNameError(
                f"no recipe and no part is called {text!r}{hint} `vczoo list` lists recipes, `vczoo list --parts all` "
                "parts"
            ) from error
        raise
