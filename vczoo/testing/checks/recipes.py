"""Conformance checks of recipes that a plugin registers."""

from __future__ import annotations

import time
from pathlib import Path

from vczoo.errors import ContractError, VczooError
from vczoo.models.build import checked_recipe
from vczoo.models.resolve import resolve
from vczoo.registry.discovery import normalised
from vczoo.registry.requirements import parse_need, used_plugins
from vczoo.registry.zoo import the_zoo
from vczoo.testing.checks.entries import check_light
from vczoo.testing.checks.suite import Result

__all__ = ["check_recipe"]


def check_recipe(name: str, file: Path, module: str) -> Result:
    """Run one of the checks in `OF_RECIPES`.

    Args:
        name: Name of the check. `light`: the module that registers the recipe loads only lightweight modules. `recipe`:
            the recipe is valid. `needs`: it names the plugins that its parts come from.
        file: The recipe file.
        module: Module that registers the recipe, as the entry point names it.
    """
    start, detail = time.perf_counter(), ""
    try:
        if name == "light":
            check_light(module)
        elif name == "recipe":
            checked_recipe(file)
        else:
            _check_needs(file, module)
    except VczooError as error:
        detail = str(error)
    return Result(name, "recipe", "failed" if detail else "passed", detail, time.perf_counter() - start)


def _check_needs(file: Path, module: str) -> None:
    """Check that `needs` names the plugins of all parts, besides the one that registers the recipe."""
    values = resolve(file)
    own = {
        normalised(plugin.distribution)
        for plugin in the_zoo().plugins
        if plugin.candidate and plugin.candidate.module == module
    }
    used = {normalised(name) for name in used_plugins(values)} - own
    declared = {normalised(parse_need(text).name) for text in values.get("needs") or ()} - own
    if used != declared:
        expected = f"needs: [{', '.join(sorted(used))}]" if used else "no `needs`"
        got = f"needs: [{', '.join(sorted(declared))}]" if declared else "none"
        raise ContractError(f"recipe {file.stem!r}: expected {expected} for its parts, got {got}")
