"""The zoo: all registered entries and recipes, by name. Listing imports neither torch nor a wrapped library."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib import metadata
from typing import Any, Literal, TypeVar

from vczoo.errors import PluginError, UnknownNameError, VczooError
from vczoo.io.install_advice import pip_install
from vczoo.io.text import nearest
from vczoo.registry import builtin
from vczoo.registry.discovery import CORE, KNOWN_PLUGINS, Candidate, candidates, normalised, select
from vczoo.registry.entry import Entry, Kind
from vczoo.registry.isolation import is_isolated
from vczoo.registry.plugin_loader import load_plugin
from vczoo.registry.registration import Offer, Plugin, RecipeFile, is_strict, offer_of, tell_faults

__all__ = ["KNOWN_PLUGINS", "Plugin", "RecipeFile", "Zoo", "list_models", "list_parts", "the_zoo"]

T = TypeVar("T")

PATIENCE_SECONDS = 60.0


class Zoo:
    """All registered entries and recipes, by name.

    Args:
        plugins: The plugins to load besides vczoo itself. If None, the installed plugins that `VCZOO_PLUGINS` selects.

    Raises:
        PluginError: a plugin creates the zoo during its own import.
        VczooError: `VCZOO_PLUGIN_SECONDS` is not a valid number of seconds.
    """

    def __init__(self, plugins: Iterable[Candidate] | None = None) -> None:
        if is_isolated():
            raise PluginError("it requested the zoo during its own import; move that call into a function")
        self.plugins: list[Plugin] = []
        self._entries: dict[tuple[Kind, str], dict[str, Entry]] = {}
        self._recipes: dict[str, dict[str, RecipeFile]] = {}
        core_version = metadata.version(CORE)
        self.register(builtin, CORE, CORE, core_version)
        patience = _patience_seconds()
        selection = os.environ.get("VCZOO_PLUGINS") if plugins is None else None
        selected, left_out, unknown = select(candidates() if plugins is None else plugins, selection)
        for candidate in selected:
            try:
                offer = load_plugin(candidate, core_version, patience)
                self._add(candidate.name, candidate.distribution, candidate.version, offer, candidate)
            except PluginError as error:
                self.plugins.append(_not_loaded(candidate, str(error), "broken"))
        for candidate in left_out:
            fault = f"VCZOO_PLUGINS={selection} does not name it"
            self.plugins.append(_not_loaded(candidate, fault, "left out"))
        names = [candidate.name for candidate in (*selected, *left_out)]
        for name in unknown:
            fault = f"VCZOO_PLUGINS names it, but no such plugin is installed{nearest(name, names)}"
            self.plugins.append(Plugin(name, "?", "?", fault, "absent"))

    def register(self, plugin: Any, name: str, distribution: str, version: str) -> None:
        """Register one plugin. If it has a fault, none of its entries and recipes are registered.

        Args:
            plugin: A module or an object with hooks.
            name: Name of its entry point.
            distribution: Name of the distribution that ships it.
            version: Version of that distribution.

        Raises:
            PluginError: it registers a name that vczoo itself has, the same name twice, or something that is not an
                entry.
        """
        self._add(name, distribution, version, offer_of(plugin, distribution))

    def entries(self, kind: Kind | None = None, pattern: str = "*") -> list[tuple[Entry, str]]:
        """Entries sorted by name, each with the distribution that registered it.

        Args:
            kind: Kind of the entries; None for all kinds.
            pattern: Shell pattern for the names.
        """
        return [
            (entry, distribution)
            for (_, name), owners in sorted(self._entries.items())
            for distribution, entry in sorted(owners.items())
            if kind in (None, entry.kind) and _fits(pattern, name, distribution)
        ]

    def find(self, kind: Kind, name: str) -> tuple[Entry, str]:
        """Find an entry and the name of its weights. `timm/resnet18.a1_in1k` names both; otherwise the weights are "".

        Args:
            kind: Kind of the entry.
            name: Name as in `use: NAME`, or `distribution:name` if several distributions register the name.

        Raises:
            UnknownNameError: there is no such entry (the message has the nearest names, and the plugin to install if it
                is known), or several distributions register the name.
        """
        entry, tag, _ = self._look_up(kind, name)
        return entry, tag

    def distribution(self, kind: Kind, name: str) -> str:
        """The distribution that registered an entry.

        Raises:
            UnknownNameError: as for `find`.
        """
        return self._look_up(kind, name)[2]

    def use_of(self, entry: Entry, distribution: str) -> str:
        """The name of an entry in a recipe, with its distribution as a prefix if others register the same name."""
        return _qualified(entry.name, self._entries.get((entry.kind, entry.name), {}), distribution)

    def recipes(self, pattern: str = "*") -> list[RecipeFile]:
        """The recipes sorted by name. A name that several distributions register has its distribution as a prefix.

        Args:
            pattern: Shell pattern for the names.
        """
        return [
            replace(recipe, name=_qualified(name, owners, distribution))
            for name, owners in sorted(self._recipes.items())
            for distribution, recipe in sorted(owners.items())
            if _fits(pattern, name, distribution)
        ]

    def recipe(self, name: str) -> RecipeFile:
        """Find one recipe by name, or by `distribution:name`.

        Raises:
            UnknownNameError: there is no such recipe (the message has the nearest names), or several distributions
                register the name.
        """
        prefix, _, bare = name.rpartition(":")
        if bare not in self._recipes:
            hint = nearest(bare, self._recipes)
            raise UnknownNameError(f"no recipe is called {name!r}{hint} `vczoo list` lists all{self._broken()}")
        return _only(self._recipes[bare], "recipe", bare, prefix)[1]

    def clashes(self, plugin: Plugin) -> list[str]:
        """One sentence for each entry and recipe of a plugin whose name another distribution registers, too."""
        offer = plugin.offer or Offer((), ())
        named = [
            (f"{entry.kind} {entry.name!r}", entry.name, self._entries[entry.kind, entry.name])
            for entry in offer.entries
        ]
        named += [(f"recipe {recipe.name!r}", recipe.name, self._recipes[recipe.name]) for recipe in offer.recipes]  # type: ignore[misc]
        return [
            f"{label} is also registered by {' and '.join(sorted(set(owners) - {plugin.distribution}))}: "
            f"write {plugin.distribution}:{name}"
            for label, name, owners in named
            if len(owners) > 1
        ]

    def _add(
        self, name: str, distribution: str, version: str, offer: Offer, candidate: Candidate | None = None
    ) -> None:
        taken = [
            (f"{entry.kind} {entry.name!r}", self._entries.get((entry.kind, entry.name))) for entry in offer.entries
        ]
        taken += [(f"recipe {recipe.name!r}", self._recipes.get(recipe.name)) for recipe in offer.recipes]  # type: ignore[misc]
        for label, owners in taken:
            if owners and CORE in owners:
                raise PluginError(f"{label} is part of vczoo, and a plugin cannot replace it; give it another name")
            if owners and distribution in owners:
                raise PluginError(f"{label} is already registered by {distribution}; rename one of the two")
        for entry in offer.entries:
            self._entries.setdefault((entry.kind, entry.name), {})[distribution] = entry
        for recipe in offer.recipes:
            self._recipes.setdefault(recipe.name, {})[distribution] = recipe
        self.plugins.append(Plugin(name, distribution, version, offer=offer, candidate=candidate))

    def _look_up(self, kind: Kind, name: str) -> tuple[Entry, str, str]:
        """An entry, the name of its weights, and the distribution that registered it."""
        prefix, _, bare = name.rpartition(":")
        if owners := self._entries.get((kind, bare)):
            distribution, entry = _only(owners, kind, bare, prefix)
            return entry, "", distribution
        stem, _, tag = bare.rpartition(".")
        if owners := self._entries.get((kind, stem)):
            distribution, entry = _only(owners, kind, stem, prefix)
            tags = [weights.name for weights in entry.weights]
            if tag in tags:
                return entry, tag, distribution
            raise UnknownNameError(
                f"{kind} {stem!r} has no weights {tag!r}{nearest(tag, tags)} It has: {', '.join(tags) or 'none'}"
            )
        raise UnknownNameError(self._unknown(kind, name))

    def _unknown(self, kind: Kind, full: str) -> str:
        name = full.rpartition(":")[2]
        names = [entry_name for entry_kind, entry_name in self._entries if entry_kind == kind]
        prefix = name.partition("/")[0] if "/" in name else ""
        distribution = KNOWN_PLUGINS.get(prefix)
        if distribution and distribution not in {plugin.distribution for plugin in self.plugins}:
            return f"{kind} {full!r} comes with a plugin that is not installed: {pip_install(distribution)}"
        for plugin in self.plugins:
            if plugin.fault and (plugin.distribution == distribution or plugin.name == prefix):
                return f"{kind} {full!r} comes with {plugin.distribution}, which does not load ({plugin.fault})"
        registered = f" Registered: {', '.join(sorted(names)) or 'none'}." if len(names) <= 12 else ""
        return (
            f"no {kind} is called {full!r}{nearest(name, names)}{registered} `vczoo list --parts {kind}` lists all"
            + self._broken()
        )

    def _broken(self) -> str:
        """A note on plugins that do not load, since a name may be unknown because of them; "" if there are none."""
        broken = [plugin.name for plugin in self.plugins if plugin.state in ("broken", "absent")]
        return f" (plugins that do not load: {', '.join(broken)}; `vczoo plugins` says why)" if broken else ""


@cache
def the_zoo() -> Zoo:
    """The zoo of this process, created on first use.

    Raises:
        PluginError: `VCZOO_STRICT` is set and a plugin has a fault.
    """
    zoo = Zoo()
    if is_strict():
        from vczoo.registry.validation import require_whole  # imports yaml

        require_whole(zoo.plugins)
    return zoo


def list_models(pattern: str = "*") -> list[str]:
    """List the names of the recipes that `load` and `finetune` accept. Imports no torch.

    Args:
        pattern: Shell pattern for the names.
    """
    tell_faults(the_zoo().plugins)
    return [recipe.name for recipe in the_zoo().recipes(pattern)]


def list_parts(kind: Kind | None = None, pattern: str = "*") -> list[str]:
    """List the names of the parts that a recipe can `use`. Imports no torch.

    Args:
        kind: Kind of the parts: backbone, freezing, head, vocoder or watermark; None for all kinds.
        pattern: Shell pattern for the names.
    """
    zoo = the_zoo()
    tell_faults(zoo.plugins)
    return [zoo.use_of(entry, distribution) for entry, distribution in zoo.entries(kind, pattern)]


def _only(owners: Mapping[str, T], kind: str, name: str, prefix: str) -> tuple[str, T]:
    """The distribution that the prefix selects among those that register a name, and what it registers."""
    matches = [owner for owner in sorted(owners) if not prefix or normalised(owner) == normalised(prefix)]
    if len(matches) == 1:
        return matches[0], owners[matches[0]]
    if prefix:
        raise UnknownNameError(
            f"{prefix!r} does not register {kind} {name!r}, which comes from {' and '.join(sorted(owners))}"
        )
    raise UnknownNameError(
        f"{kind} {name!r} is registered by {' and '.join(matches)}; write "
        f"{' or '.join(f'{owner}:{name}' for owner in matches)}, or set VCZOO_PLUGINS to the plugins to load"
    )


def _not_loaded(candidate: Candidate, fault: str, state: Literal["broken", "left out"]) -> Plugin:
    return Plugin(candidate.name, candidate.distribution, candidate.version, fault, state, candidate=candidate)


def _qualified(name: str, owners: Mapping[str, Any], distribution: str) -> str:
    return f"{distribution}:{name}" if len(owners) > 1 else name


def _fits(pattern: str, name: str, distribution: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(f"{distribution}:{name}", pattern)


def _patience_seconds() -> float:
    text = os.environ.get("VCZOO_PLUGIN_SECONDS", "") or PATIENCE_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86400:
        raise VczooError(f"VCZOO_PLUGIN_SECONDS={text}: expected a number of seconds above 0 and at most 86400")
    return seconds
