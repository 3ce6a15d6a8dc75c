"""The zoo: plugins in, entries and recipes by name out. Listing imports neither torch nor a wrapped library."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib import metadata
from typing import Any, TypeVar

from vczoo.errors import PluginError, UnknownNameError, VczooError
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
    """Everything that is registered, by name.

    Args:
        found: the plugins to load besides the core; when None the installed ones, as far as `VCZOO_PLUGINS` names them.

    Raises:
        PluginError: a plugin asked for it while it was imported.
        VczooError: `VCZOO_PLUGIN_SECONDS` is no number of seconds.
    """

    def __init__(self, found: Iterable[Candidate] | None = None) -> None:
        if is_isolated():
            raise PluginError("it asked for the zoo while it was imported; do so in a function")
        self.plugins: list[Plugin] = []
        self._entries: dict[tuple[Kind, str], dict[str, Entry]] = {}
        self._recipes: dict[str, dict[str, RecipeFile]] = {}
        core_version = metadata.version(CORE)
        self.register(builtin, CORE, CORE, core_version)
        patience = _patience_seconds()
        wanted = os.environ.get("VCZOO_PLUGINS") if found is None else None
        chosen, left_out, unknown = select(candidates() if found is None else found, wanted)
        for one in chosen:
            try:
                self._add(one.name, one.distribution, one.version, load_plugin(one, core_version, patience), one)
            except PluginError as error:
                fault = str(error)
                self.plugins.append(Plugin(one.name, one.distribution, one.version, fault, "broken", candidate=one))
        for one in left_out:
            fault = f"VCZOO_PLUGINS={wanted} leaves it out"
            self.plugins.append(Plugin(one.name, one.distribution, one.version, fault, "left out", candidate=one))
        names = [one.name for one in (*chosen, *left_out)]
        for name in unknown:
            fault = f"VCZOO_PLUGINS names it, and no such plugin is installed{nearest(name, names)}"
            self.plugins.append(Plugin(name, "?", "?", fault, "absent"))

    def register(self, plugin: Any, name: str, distribution: str, version: str) -> None:
        """Register one plugin module or object, all of it or nothing.

        Raises:
            PluginError: it registers a name of the core's, or one twice, or something that is not an entry.
        """
        self._add(name, distribution, version, offer_of(plugin, distribution))

    def entries(self, kind: Kind | None = None, pattern: str = "*") -> list[tuple[Entry, str]]:
        """Entries with the distribution that registered each, by name; `pattern` as in a shell."""
        return [
            (entry, distribution)
            for (_, name), owners in sorted(self._entries.items())
            for distribution, entry in sorted(owners.items())
            if kind in (None, entry.kind) and _fits(pattern, name, distribution)
        ]

    def find(self, kind: Kind, name: str) -> tuple[Entry, str]:
        """An entry and the name of its weights: `timm/resnet18.a1_in1k` names both, else the weights are "".

        Args:
            name: as in `use: NAME`; `distribution:name` where two distributions have one of that name.

        Raises:
            UnknownNameError: with the nearest names, and the plugin to install where one is known; or with the
                distributions that have it, where there are two.
        """
        entry, tag, _ = self._look_up(kind, name)
        return entry, tag

    def distribution(self, kind: Kind, name: str) -> str:
        """The distribution that registered an entry.

        Raises:
            UnknownNameError: as `find`.
        """
        return self._look_up(kind, name)[2]

    def use_of(self, entry: Entry, distribution: str) -> str:
        """What a recipe writes to use an entry: its name, after its distribution where another has one of that name."""
        return _called(entry.name, self._entries.get((entry.kind, entry.name), {}), distribution)

    def recipes(self, pattern: str = "*") -> list[RecipeFile]:
        """The recipes by name; `pattern` as in a shell. Where two distributions have one, its name says whose it is."""
        return [
            replace(recipe, name=_called(name, owners, distribution))
            for name, owners in sorted(self._recipes.items())
            for distribution, recipe in sorted(owners.items())
            if _fits(pattern, name, distribution)
        ]

    def recipe(self, name: str) -> RecipeFile:
        """One recipe by name, or by `distribution:name`.

        Raises:
            UnknownNameError: with the nearest names; or with the distributions that have it, where there are two.
        """
        prefix, _, bare = name.rpartition(":")
        if bare not in self._recipes:
            hint = nearest(bare, self._recipes)
            raise UnknownNameError(f"no recipe is called {name!r}{hint} `vczoo list` lists all{self._broken()}")
        return _only(self._recipes[bare], "recipe", bare, prefix)[1]

    def clashes(self, plugin: Plugin) -> list[str]:
        """The names of a plugin's entries and recipes that another distribution has, too, as sentences."""
        offer = plugin.offer or Offer((), ())
        owners = [(f"{one.kind} {one.name!r}", one.name, self._entries[one.kind, one.name]) for one in offer.entries]
        owners += [(f"recipe {one.name!r}", one.name, self._recipes[one.name]) for one in offer.recipes]  # type: ignore[misc]
        return [
            f"{what} is {' and '.join(sorted(set(having) - {plugin.distribution}))}'s, too: "
            f"write {plugin.distribution}:{name}"
            for what, name, having in owners
            if len(having) > 1
        ]

    def _add(
        self, name: str, distribution: str, version: str, offer: Offer, candidate: Candidate | None = None
    ) -> None:
        taken = [
            (f"{entry.kind} {entry.name!r}", self._entries.get((entry.kind, entry.name))) for entry in offer.entries
        ]
        taken += [(f"recipe {recipe.name!r}", self._recipes.get(recipe.name)) for recipe in offer.recipes]  # type: ignore[misc]
        for what, owners in taken:
            if owners and CORE in owners:
                raise PluginError(f"{what} is vczoo's own, which no plugin replaces; give it another name")
            if owners and distribution in owners:
                raise PluginError(f"{what} is registered by {distribution} already; give one of them another name")
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
        known = [known_name for known_kind, known_name in self._entries if known_kind == kind]
        prefix = name.partition("/")[0] if "/" in name else ""
        distribution = KNOWN_PLUGINS.get(prefix)
        if distribution and distribution not in {plugin.distribution for plugin in self.plugins}:
            return f"{kind} {full!r} comes with a plugin that is not installed: pip install {distribution}"
        for plugin in self.plugins:
            if plugin.fault and (plugin.distribution == distribution or plugin.name == prefix):
                return f"{kind} {full!r} comes with {plugin.distribution}, which does not load ({plugin.fault})"
        few = f" Registered: {', '.join(sorted(known)) or 'none'}." if len(known) <= 12 else ""
        return (
            f"no {kind} is called {full!r}{nearest(name, known)}{few} `vczoo list --parts {kind}` lists all"
            + self._broken()
        )

    def _broken(self) -> str:
        """A name may be unknown because its plugin does not load."""
        broken = [plugin.name for plugin in self.plugins if plugin.state in ("broken", "absent")]
        return f" (without plugins that do not load: {', '.join(broken)}; `vczoo plugins` says why)" if broken else ""


@cache
def the_zoo() -> Zoo:
    """The zoo of this process, made on first use.

    Raises:
        PluginError: `VCZOO_STRICT` is set, and a plugin does not work.
    """
    zoo = Zoo()
    if is_strict():
        from vczoo.registry.validation import require_whole  # imports yaml

        require_whole(zoo.plugins)
    return zoo


def list_models(pattern: str = "*") -> list[str]:
    """Names of recipes that `load` and `finetune` take; `pattern` as in a shell. Imports no torch."""
    tell_faults(the_zoo().plugins)
    return [recipe.name for recipe in the_zoo().recipes(pattern)]


def list_parts(kind: Kind | None = None, pattern: str = "*") -> list[str]:
    """Names of parts that a recipe can `use`, of one kind or of all; `pattern` as in a shell. Imports no torch."""
    zoo = the_zoo()
    tell_faults(zoo.plugins)
    return [zoo.use_of(entry, distribution) for entry, distribution in zoo.entries(kind, pattern)]


def _only(owners: Mapping[str, T], kind: str, name: str, prefix: str) -> tuple[str, T]:
    """Of the distributions that have a name the one that is meant, with what it has."""
    having = [one for one in sorted(owners) if not prefix or normalised(one) == normalised(prefix)]
    if len(having) == 1:
        return having[0], owners[having[0]]
    if prefix:
        raise UnknownNameError(f"{prefix!r} has no {kind} {name!r}; {' and '.join(sorted(owners))} has")
    raise UnknownNameError(
        f"{kind} {name!r} is registered by {' and '.join(having)}; write "
        f"{' or '.join(f'{one}:{name}' for one in having)}, or name in VCZOO_PLUGINS the plugins to load"
    )


def _called(name: str, owners: Mapping[str, Any], distribution: str) -> str:
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
        raise VczooError(f"VCZOO_PLUGIN_SECONDS={text}: a number of seconds was expected, above 0 and at most 86400")
    return seconds
