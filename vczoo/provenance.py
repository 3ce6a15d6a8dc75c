"""A recipe in; the distributions that its parts come from, and what those are built on, with their versions, out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata

from vczoo.recipe import Part, Recipe
from vczoo.zoo import the_zoo

__all__ = ["distributions", "library_versions"]


def distributions(recipe: Recipe) -> dict[str, str]:
    """The plugins whose parts a recipe uses, with their versions."""
    zoo = the_zoo()
    parts: list[tuple[str, Part | None]] = [
        ("backbone", recipe.backbone),
        ("freezing", recipe.freezing),
        ("vocoder", recipe.vocoder),
        *(("head", head) for head in recipe.heads.values()),
    ]
    names = {zoo.distribution(kind, part.use) for kind, part in parts if part}  # type: ignore[arg-type]
    return {name: metadata.version(name) for name in sorted(names - {"vczoo"})}


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of vczoo, of these distributions, and of what each of them requires, as far as it is installed."""
    wanted = {"vczoo", *names}
    for name in tuple(wanted):
        wanted |= {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in metadata.requires(name) or ()}
    found = {}
    for name in sorted(wanted):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # of an extra that is not installed
            continue
    return found
