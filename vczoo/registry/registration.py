"""Registration: the entries and recipes that an imported plugin provides through its hooks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

import pluggy

from vczoo.errors import PluginError, VczooError
from vczoo.io.plain_yaml import read_recipe_text
from vczoo.io.text import harmless, nearest
from vczoo.registry import hookspecs
from vczoo.registry.discovery import Candidate
from vczoo.registry.entry import Entry

__all__ = ["Offer", "Plugin", "RecipeFile", "is_strict", "offer_of", "tell_faults"]


@dataclass(frozen=True)
class RecipeFile:
    """A named recipe: its file and the distribution that ships it."""

    name: str
    file: Path | Traversable
    distribution: str

    def read(self) -> str:
        """Read the YAML text of the recipe.

        Raises:
            VczooError: the file cannot be read or is not UTF-8.
        """
        try:
            if isinstance(self.file, Path):
                return read_recipe_text(self.file)
            return self.file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise VczooError(
                f"recipe {self.name!r} of {self.distribution} cannot be read ({error}); reinstall {self.distribution}"
            ) from error


@dataclass(frozen=True)
class Offer:
    """What a plugin registers.

    Attributes:
        entries: The parts that it provides.
        recipes: The recipes that it provides.
        api: Version of the plugin API that it was written for.
        remarks: Side effects of its import, and other problems that do not prevent it from working.
        seconds: Time that its import took, in seconds.
    """

    entries: tuple[Entry, ...]
    recipes: tuple[RecipeFile, ...]
    api: str = hookspecs.API
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Plugin:
    """One entry point of the group `vczoo`, loaded or not.

    Attributes:
        name: Name of the entry point.
        distribution: Name of the distribution that declares it.
        version: Version of the distribution.
        fault: Why it was not loaded; empty if it was.
        state: Loaded, broken, left out by `VCZOO_PLUGINS`, or absent although `VCZOO_PLUGINS` names it.
        offer: What it registers; None unless it is loaded.
        candidate: The entry point as its metadata declare it; None for vczoo itself and for absent plugins.
    """

    name: str
    distribution: str
    version: str
    fault: str = ""
    state: Literal["loaded", "broken", "left out", "absent"] = "loaded"
    offer: Offer | None = None
    candidate: Candidate | None = None

    @property
    def label(self) -> str:
        """Name, distribution and version, for messages."""
        return f"{self.name} ({self.distribution} {self.version})"


def offer_of(plugin: Any, distribution: str) -> Offer:
    """Collect the entries and recipes that an imported plugin registers.

    Args:
        plugin: A module or an object with hooks.
        distribution: Name of the distribution that ships it.

    Raises:
        PluginError: a hook is unknown, has a wrong signature or returns a wrong value, or there is no hook at all.
    """
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    hook_names = [name for name in dir(hookspecs) if name.startswith("vczoo_")]
    try:
        manager.register(plugin)
    except pluggy.PluginValidationError as error:
        raise PluginError(f"a hook has a wrong signature: {' '.join(str(error).split())}") from error
    implemented = [caller.name for caller in manager.get_hookcallers(plugin) or ()]
    for name in implemented:
        optional = (hook.optionalhook for hook in getattr(manager.hook, name).get_hookimpls())
        if name not in hook_names and not all(optional):
            raise PluginError(f"no hook is called {name!r}{nearest(name, hook_names)} Hooks: {', '.join(hook_names)}")
    if not set(implemented) & set(hook_names):
        unmarked = [name for name in hook_names if hasattr(plugin, name)]
        reason = (
            f"{unmarked[0]} is not marked with @vczoo.hookimpl"
            if unmarked
            else f"it has none of the hooks {', '.join(hook_names)}"
        )
        raise PluginError(f"it registers nothing: {reason}")
    entries: dict[tuple[str, str], Entry] = {}
    for entry in (entry for returned in manager.hook.vczoo_entries() for entry in returned):
        if not isinstance(entry, Entry):
            raise PluginError(f"vczoo_entries returned a {type(entry).__name__}, expected vczoo.Entry")
        if (entry.kind, entry.name) in entries:
            raise PluginError(f"{entry.kind} {entry.name!r} is registered twice; rename one of the two")
        entries[entry.kind, entry.name] = entry
    recipes: dict[str, RecipeFile] = {}
    for folder in manager.hook.vczoo_recipes():
        if not hasattr(folder, "iterdir"):
            raise PluginError(f"vczoo_recipes returned a {type(folder).__name__}, expected a pathlib.Path of a folder")
        for file in sorted(folder.iterdir(), key=lambda file: str(file.name)):
            name = file.name.removesuffix(".yaml")
            if name == file.name:
                continue
            if name in recipes or ":" in name:
                raise PluginError(
                    f"recipe {name!r}: names must be unique and cannot contain a colon; rename {file.name}"
                )
            recipes[name] = RecipeFile(name, file, distribution)
    return Offer(tuple(entries.values()), tuple(recipes.values()))


@cache
def _warn_once(fault: str) -> None:
    sys.stderr.write(f"vczoo: plugin {harmless(fault)}\n")


def tell_faults(plugins: Iterable[Plugin]) -> None:
    """Write one line to standard error for each broken or absent plugin. Each line is written only once."""
    for plugin in plugins:
        if plugin.state in ("broken", "absent"):
            _warn_once(f"{plugin.label} does not load: {plugin.fault}")


def is_strict() -> bool:
    """Whether `VCZOO_STRICT` makes every failure of a plugin fatal."""
    return os.environ.get("VCZOO_STRICT", "0") not in ("", "0")
