"""Plugin requirements of a recipe, and whether the installed plugins meet them. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from packaging.requirements import InvalidRequirement, Requirement

from vczoo.errors import VczooError
from vczoo.io.install_advice import pip_install
from vczoo.registry.discovery import CORE, KNOWN_PLUGINS, normalised
from vczoo.registry.entry import Kind
from vczoo.registry.registration import Plugin
from vczoo.registry.zoo import the_zoo

__all__ = ["Need", "need_faults", "needed", "parse_need", "used_plugins"]

LONGEST = 200  # most characters of a requirement


class Need(NamedTuple):
    """Why a plugin does not meet a requirement, in a word and in a sentence; both are empty if it does."""

    word: str
    reason: str


def parse_need(text: str) -> Requirement:
    """Parse one item of `needs`: a distribution with an optional version range, such as `vczoo-timm>=0.1`.

    Raises:
        VczooError: the text is anything else: it has extras, a URL or a marker, or is too long.
    """
    try:
        need = Requirement(text[: LONGEST + 1])
    except InvalidRequirement:
        need = None
    if need is None or len(text) > LONGEST or need.url or need.extras or need.marker:
        raise VczooError(
            f"{text[:LONGEST]!r} is not a distribution with an optional version range; write it as in vczoo-timm>=0.1"
        )
    return need


def needed(values: Mapping[str, Any]) -> dict[str, Need]:
    """The plugins that a recipe needs, by distribution.

    These are the plugins that its parts come from. If a part is not registered, the plugins that the recipe's `needs`
    and the part's prefix name are added.

    Args:
        values: A resolved recipe, as a mapping.
    """
    used, unknown_parts = _distributions(values)
    requirements = {normalised(requirement.name): requirement for requirement in _declared(values)}
    plugins = {normalised(plugin.distribution): plugin for plugin in the_zoo().plugins}
    names = {normalised(name): name for name in used}
    if unknown_parts:
        names = {name: requirement.name for name, requirement in requirements.items()} | names
        prefixes = {use.rpartition(":")[2].partition("/")[0] for use in unknown_parts}
        names |= {name: name for prefix, name in KNOWN_PLUGINS.items() if prefix in prefixes}
    return {name: _need(name, plugins.get(key), requirements.get(key)) for key, name in sorted(names.items())}


def need_faults(values: Mapping[str, Any]) -> dict[str, str]:
    """One sentence, by distribution, for each plugin that does not meet the recipe's needs: why, and what to do."""
    return {name: f"needs {name}: {need.reason}" for name, need in needed(values).items() if need.reason}


def _need(name: str, plugin: Plugin | None, requirement: Requirement | None) -> Need:
    versions = str(requirement.specifier) if requirement else ""
    if plugin is None:
        official = name in KNOWN_PLUGINS.values()
        advice = "" if official else "it is not one of vczoo's own plugins, so find out who publishes it, then "
        command = pip_install(name) if official else f"pip install '{name}{versions}'"
        return Need("not installed", f"it is not installed; {advice}{command}")
    if plugin.fault:
        return Need(plugin.state, f"{plugin.fault}; run `vczoo plugins` for details")
    if requirement and not requirement.specifier.contains(plugin.version, prereleases=True):
        return Need(
            plugin.version,
            f"version {plugin.version} is installed, but {versions} is needed; pip install '{name}{versions}'",
        )
    return Need("", "")


def used_plugins(values: Mapping[str, Any]) -> set[str]:
    """The distributions, other than vczoo, that a recipe's registered parts come from."""
    return _distributions(values)[0]


def _distributions(values: Mapping[str, Any]) -> tuple[set[str], list[str]]:
    """The distributions that the parts come from, and the names of the parts that are not registered."""
    distributions, unknown_parts = set(), []
    for kind, use in _uses(values):
        try:
            distributions.add(the_zoo().distribution(kind, use))
        except VczooError:
            unknown_parts.append(use)
    return distributions - {CORE}, unknown_parts


def _uses(values: Mapping[str, Any]) -> Iterator[tuple[Kind, str]]:
    """Kind and name of each part. Malformed values are skipped here; `Recipe` reports them."""
    heads = values.get("heads")
    parts: list[tuple[str, Any]] = [(kind, values.get(kind)) for kind in ("backbone", "freezing", "vocoder", "pitch")]
    parts.append(("backbone", values.get("teacher")))
    parts += [("head", head) for head in heads.values()] if isinstance(heads, Mapping) else []
    freezing = values.get("freezing")
    parts += [("freezing", part) for part in freezing.values()] if isinstance(freezing, Mapping) else []
    for kind, part in parts:
        if isinstance(part, Mapping) and isinstance(part.get("use"), str):
            yield cast(Kind, kind), part["use"]


def _declared(values: Mapping[str, Any]) -> list[Requirement]:
    requirements = []
    needs = values.get("needs")
    for text in needs if isinstance(needs, list | tuple) else ():
        try:
            requirements.append(parse_need(text))
        except (VczooError, TypeError):
            continue
    return requirements
