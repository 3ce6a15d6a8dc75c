"""The zoo: entry points in, entries and recipes by name out. Listing imports neither torch nor a wrapped library."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import pluggy

from vczoo import builtin, hookspecs
from vczoo.entry import Entry, Kind
from vczoo.errors import PluginError, UnknownNameError, nearest

__all__ = ["KNOWN_PLUGINS", "Plugin", "RecipeFile", "Zoo", "list_models", "list_parts", "the_zoo"]

CORE = "vczoo"
# Prefixes of part names and the distributions that provide them, so that an error can say what to install.
KNOWN_PLUGINS = {name: f"vczoo-{name}" for name in ("torchvision", "timm", "torchaudio", "transformers", "vocos")}


@dataclass(frozen=True)
class Plugin:
    """One entry point of the group `vczoo`, loaded or not.

    Attributes:
        name: of the entry point.
        distribution: that declares it.
        version: of the distribution.
        fault: why it could not be loaded; empty when it was.
    """

    name: str
    distribution: str
    version: str
    fault: str = ""


@dataclass(frozen=True)
class RecipeFile:
    """A recipe by name: the file's text and the distribution that ships it."""

    name: str
    file: Path | Traversable
    distribution: str

    def read(self) -> str:
        """The YAML text."""
        return self.file.read_text(encoding="utf-8")


class Zoo:
    """Everything that is registered, by name.

    Args:
        entry_points: what to load besides the core; the installed ones of the group `vczoo` when None.
    """

    def __init__(self, entry_points: Iterable[metadata.EntryPoint] | None = None) -> None:
        self.plugins: list[Plugin] = []
        self._entries: dict[tuple[Kind, str], tuple[Entry, str]] = {}
        self._recipes: dict[str, RecipeFile] = {}
        self._manager = pluggy.PluginManager(hookspecs.GROUP)
        self._manager.add_hookspecs(hookspecs)
        self.register(builtin, CORE, CORE, metadata.version(CORE))
        found = metadata.entry_points(group=hookspecs.GROUP) if entry_points is None else entry_points
        for point in sorted(found, key=lambda point: point.name):
            distribution = point.dist.name if point.dist else "?"
            version = point.dist.version if point.dist else "?"
            try:
                self.register(point.load(), point.name, distribution, version)
            except Exception as error:
                fault = f"{type(error).__name__}: {error}"
                self.plugins.append(Plugin(point.name, distribution, version, fault))

    def register(self, plugin: Any, name: str, distribution: str, version: str) -> None:
        """Register one plugin module or object, all of it or nothing.

        Raises:
            PluginError: it registers a name that another distribution has, or something that is not an entry.
        """
        self._manager.register(plugin, name=f"{distribution}:{name}")
        try:
            entries = list(_call(self._manager, plugin, "vczoo_entries"))
            recipes = [
                RecipeFile(file.name.removesuffix(".yaml"), file, distribution)
                for folder in _call(self._manager, plugin, "vczoo_recipes")
                for file in folder.iterdir()
                if file.name.endswith(".yaml")
            ]
            new_entries: dict[tuple[Kind, str], tuple[Entry, str]] = {}
            for entry in entries:
                if not isinstance(entry, Entry):
                    raise PluginError(f"vczoo_entries gave a {type(entry).__name__}, expected vczoo.Entry")
                key = (entry.kind, entry.name)
                if other := self._entries.get(key) or new_entries.get(key):
                    raise PluginError(_twice(f"{entry.kind} {entry.name!r}", distribution, other[1]))
                new_entries[key] = (entry, distribution)
            new_recipes: dict[str, RecipeFile] = {}
            for recipe in recipes:
                if clash := self._recipes.get(recipe.name) or new_recipes.get(recipe.name):
                    raise PluginError(_twice(f"recipe {recipe.name!r}", distribution, clash.distribution))
                new_recipes[recipe.name] = recipe
        except BaseException:
            self._manager.unregister(plugin)
            raise
        self._entries |= new_entries
        self._recipes |= new_recipes
        self.plugins.append(Plugin(name, distribution, version))

    def entries(self, kind: Kind | None = None, pattern: str = "*") -> list[tuple[Entry, str]]:
        """Entries with the distribution that registered each, by name; `pattern` as in a shell."""
        return [
            pair
            for (_, name), pair in sorted(self._entries.items())
            if fnmatch.fnmatchcase(name, pattern) and kind in (None, pair[0].kind)
        ]

    def find(self, kind: Kind, name: str) -> tuple[Entry, str]:
        """An entry and the name of its weights: `timm/resnet18.a1_in1k` names both, else the weights are "".

        Raises:
            UnknownNameError: with the nearest names, and the plugin to install where one is known.
        """
        if found := self._entries.get((kind, name)):
            return found[0], ""
        stem, _, tag = name.rpartition(".")
        if found := self._entries.get((kind, stem)):
            tags = [weights.name for weights in found[0].weights]
            if tag in tags:
                return found[0], tag
            raise UnknownNameError(
                f"{kind} {stem!r} has no weights {tag!r}{nearest(tag, tags)} It has: {', '.join(tags) or 'none'}"
            )
        raise UnknownNameError(self._unknown(kind, name))

    def distribution(self, kind: Kind, name: str) -> str:
        """The distribution that registered an entry.

        Raises:
            UnknownNameError: as `find`.
        """
        return self._entries[kind, self.find(kind, name)[0].name][1]

    def _unknown(self, kind: Kind, name: str) -> str:
        known = [known_name for known_kind, known_name in self._entries if known_kind == kind]
        prefix = name.partition("/")[0] if "/" in name else ""
        distribution = KNOWN_PLUGINS.get(prefix)
        if distribution and distribution not in {plugin.distribution for plugin in self.plugins}:
            return f"{kind} {name!r} comes with a plugin that is not installed: pip install {distribution}"
        for plugin in self.plugins:
            if plugin.fault and (plugin.distribution == distribution or plugin.name == prefix):
                return f"{kind} {name!r} comes with {plugin.distribution}, which does not load ({plugin.fault})"
        few = f" Registered: {', '.join(sorted(known)) or 'none'}." if len(known) <= 12 else ""
        return f"no {kind} is called {name!r}{nearest(name, known)}{few} `vczoo list --parts {kind}` lists all"

    def recipes(self, pattern: str = "*") -> list[RecipeFile]:
        """The recipes by name; `pattern` as in a shell."""
        return [recipe for name, recipe in sorted(self._recipes.items()) if fnmatch.fnmatchcase(name, pattern)]

    def recipe(self, name: str) -> RecipeFile:
        """One recipe by name.

        Raises:
            UnknownNameError: with the nearest names.
        """
        if name not in self._recipes:
            hint = nearest(name, self._recipes)
            raise UnknownNameError(f"no recipe is called {name!r}{hint} `vczoo list` lists all")
        return self._recipes[name]


def _twice(what: str, second: str, first: str) -> str:
    if first == second:
        return f"{what} is registered twice by {first}; give one of them another name"
    return f"{what} of {second} is registered by {first} already; uninstall one of the two"


def _call(manager: pluggy.PluginManager, plugin: Any, hook: str) -> Iterator[Any]:
    """What one plugin gives for one hook: the items of its answer, or the answer where it is a folder."""
    others = [other for other in manager.get_plugins() if other is not plugin]
    for answer in manager.subset_hook_caller(hook, others)():
        if hook == "vczoo_recipes":
            yield answer
        else:
            yield from answer


@cache
def the_zoo() -> Zoo:
    """The zoo of this process, made on first use."""
    return Zoo()


def list_models(pattern: str = "*") -> list[str]:
    """Names of recipes that `load` and `finetune` take; `pattern` as in a shell. Imports no torch."""
    return [recipe.name for recipe in the_zoo().recipes(pattern)]


def list_parts(kind: Kind | None = None, pattern: str = "*") -> list[str]:
    """Names of parts that a recipe can `use`, of one kind or of all; `pattern` as in a shell. Imports no torch."""
    return [entry.name for entry, _ in the_zoo().entries(kind, pattern)]
