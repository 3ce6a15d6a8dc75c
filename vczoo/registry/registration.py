"""An imported plugin in; what it registers, or what is wrong with its hooks, out; and the two as one line."""

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
from vczoo.io.text import nearest
from vczoo.registry import hookspecs
from vczoo.registry.discovery import Candidate
from vczoo.registry.entry import Entry

__all__ = ["Offer", "Plugin", "RecipeFile", "is_strict", "offer_of", "tell_faults"]


@dataclass(frozen=True)
class RecipeFile:
    """A recipe by name: the file's text and the distribution that ships it."""

    name: str
    file: Path | Traversable
    distribution: str

    def read(self) -> str:
        """The YAML text.

        Raises:
            VczooError: the file cannot be read, or is not UTF-8.
        """
        try:
            return self.file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise VczooError(f"recipe {self.name!r} of {self.distribution} cannot be read ({error})") from error


@dataclass(frozen=True)
class Offer:
    """What a plugin registers.

    Attributes:
        entries: its parts.
        recipes: its recipes' files.
        api: the version of the plugin API that it was written for.
        remarks: what it does that it should not, and that does not keep it from working.
        seconds: that it took to import.
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
        name: of the entry point.
        distribution: that declares it.
        version: of the distribution.
        fault: why it could not be loaded; empty when it was.
        state: loaded, broken, left out by `VCZOO_PLUGINS`, or absent though that names it.
        offer: what it registers, None unless it is loaded.
        candidate: what its metadata say; None of the core, and of what is absent.
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
    """Ask an imported plugin, a module or an object with hooks, what it registers.

    Raises:
        PluginError: its hooks or what they give are wrong.
    """
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    known = [name for name in dir(hookspecs) if name.startswith("vczoo_")]
    try:
        manager.register(plugin)
    except pluggy.PluginValidationError as error:
        raise PluginError(f"a hook has a wrong signature: {' '.join(str(error).split())}") from error
    hooks = [caller.name for caller in manager.get_hookcallers(plugin) or ()]
    for name in hooks:
        if name not in known and not all(one.optionalhook for one in getattr(manager.hook, name).get_hookimpls()):
            raise PluginError(f"no hook is called {name!r}{nearest(name, known)} Hooks: {', '.join(known)}")
    if not set(hooks) & set(known):
        unmarked = [name for name in known if hasattr(plugin, name)]
        why = f"{unmarked[0]} is not marked with @vczoo.hookimpl" if unmarked else f"it has none of {', '.join(known)}"
        raise PluginError(f"it registers nothing: {why}")
    entries: dict[tuple[str, str], Entry] = {}
    for entry in (entry for answer in manager.hook.vczoo_entries() for entry in answer):
        if not isinstance(entry, Entry):
            raise PluginError(f"vczoo_entries gave a {type(entry).__name__}, expected vczoo.Entry")
        if (entry.kind, entry.name) in entries:
            raise PluginError(f"{entry.kind} {entry.name!r} is registered twice; give one of them another name")
        entries[entry.kind, entry.name] = entry
    recipes: dict[str, RecipeFile] = {}
    for folder in manager.hook.vczoo_recipes():
        if not hasattr(folder, "iterdir"):
            raise PluginError(f"vczoo_recipes gave a {type(folder).__name__}, expected a pathlib.Path of a folder")
        for file in sorted(folder.iterdir(), key=lambda file: str(file.name)):
            name = file.name.removesuffix(".yaml")
            if name == file.name:
                continue
            if name in recipes or ":" in name:
                raise PluginError(f"recipe {name!r}: a name stands once, and without a colon")
            recipes[name] = RecipeFile(name, file, distribution)
    return Offer(tuple(entries.values()), tuple(recipes.values()))


@cache
def _tell(fault: str) -> None:
    sys.stderr.write(f"vczoo: plugin {fault}\n")


def tell_faults(plugins: Iterable[Plugin]) -> None:
    """Write a line to standard error for every plugin that is asked for and does not load; the same line only once."""
    for plugin in plugins:
        if plugin.state in ("broken", "absent"):
            _tell(f"{plugin.label} does not load: {plugin.fault}")


def is_strict() -> bool:
    """Whether `VCZOO_STRICT` makes every failure of a plugin fatal."""
    return os.environ.get("VCZOO_STRICT", "0") not in ("", "0")
