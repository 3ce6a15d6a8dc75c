"""A recipe's values in; the plugins that it needs, and what keeps each from serving, out. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from packaging.requirements import InvalidRequirement, Requirement

from vczoo.errors import VczooError
from vczoo.registry.discovery import CORE, KNOWN_PLUGINS, normalised
from vczoo.registry.entry import Kind
from vczoo.registry.registration import Plugin
from vczoo.registry.zoo import the_zoo

__all__ = ["Need", "need_faults", "needed", "parse_need", "used_plugins"]

LONGEST = 200  # characters of a requirement


class Need(NamedTuple):
    """What keeps a plugin from serving, in a word and in a sentence; both empty where nothing does."""

    word: str
    reason: str


def parse_need(text: str) -> Requirement:
    """Read one line of `needs`: a distribution and, if it matters, its versions, `vczoo-timm>=0.1`.

    Raises:
        VczooError: it is something else.
    """
    try:
        need = Requirement(text[: LONGEST + 1])
    except InvalidRequirement:
        need = None
    if need is None or len(text) > LONGEST or need.url or need.extras or need.marker:
        raise VczooError(f"{text[:LONGEST]!r} is no distribution with or without versions, as in vczoo-timm>=0.1")
    return need


def needed(values: Mapping[str, Any]) -> dict[str, Need]:
    """The plugins that a recipe needs, by distribution.

    They are those that its parts come from and, where a part is not to be found, those that its `needs` and the
    part's prefix name.

    Args:
        values: a recipe as a mapping, resolved.
    """
    found, lost = _sorted_out(values)
    told = {normalised(need.name): need for need in _declared(values)}
    plugins = {normalised(plugin.distribution): plugin for plugin in the_zoo().plugins}
    names = {normalised(name): name for name in found}
    if lost:
        names = {name: need.name for name, need in told.items()} | names
        prefixes = {use.rpartition(":")[2].partition("/")[0] for use in lost}
        names |= {name: name for prefix, name in KNOWN_PLUGINS.items() if prefix in prefixes}
    return {name: _state(name, plugins.get(key), told.get(key)) for key, name in sorted(names.items())}


def need_faults(values: Mapping[str, Any]) -> dict[str, str]:
    """A sentence on each plugin that a recipe needs and that does not serve, with the next step; by distribution."""
    return {name: f"needs {name}: {need.reason}" for name, need in needed(values).items() if need.reason}


def _state(name: str, plugin: Plugin | None, need: Requirement | None) -> Need:
    wanted = str(need.specifier) if need else ""
    if plugin is None:
        own = name in KNOWN_PLUGINS.values()
        advice = "" if own else "it is not one of vczoo's own: find out who publishes it, then "
        return Need("not installed", f"it is not installed; {advice}pip install '{name}{wanted}'")
    if plugin.fault:
        return Need(plugin.state, f"{plugin.fault}; `vczoo plugins` says more")
    if need and not need.specifier.contains(plugin.version, prereleases=True):
        return Need(
            plugin.version, f"version {plugin.version} is installed, {wanted} is needed; pip install '{name}{wanted}'"
        )
    return Need("", "")


def used_plugins(values: Mapping[str, Any]) -> set[str]:
    """The distributions that a recipe's parts come from, as far as they are to be found, without vczoo itself."""
    return _sorted_out(values)[0]


def _sorted_out(values: Mapping[str, Any]) -> tuple[set[str], list[str]]:
    """The distributions that parts come from, and the names of the parts that are not to be found."""
    found, lost = set(), []
    for kind, use in _uses(values):
        try:
            found.add(the_zoo().distribution(kind, use))
        except VczooError:
            lost.append(use)
    return found - {CORE}, lost


def _uses(values: Mapping[str, Any]) -> Iterator[tuple[Kind, str]]:
    """Each part's kind and name; what is malformed is for `Recipe` to report."""
    heads = values.get("heads")
    parts: list[tuple[str, Any]] = [(kind, values.get(kind)) for kind in ("backbone", "freezing", "vocoder")]
    parts.append(("backbone", values.get("teacher")))
    parts += [("head", head) for head in heads.values()] if isinstance(heads, Mapping) else []
    for kind, part in parts:
        if isinstance(part, Mapping) and isinstance(part.get("use"), str):
            yield cast(Kind, kind), part["use"]


def _declared(values: Mapping[str, Any]) -> list[Requirement]:
    found = []
    needs = values.get("needs")
    for text in needs if isinstance(needs, list | tuple) else ():
        try:
            found.append(parse_need(text))
        except (VczooError, TypeError):
            continue
    return found
