"""The plugin API: hook specifications for plugins of the entry-point group `vczoo`.

    # pyproject.toml                             # vczoo_example/__init__.py
    [project.entry-points.vczoo]                 import vczoo
    example = "vczoo_example"
                                                 vczoo_api = "1"

                                                 @vczoo.hookimpl
                                                 def vczoo_entries():
                                                     return [vczoo.Entry(name="example/net", kind="backbone", …)]

A plugin is a module that contains only names and metadata: it imports neither torch nor the library that it wraps. The
line `vczoo_api` names the version of this API that the plugin was written for. It is read before the import.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources.abc import Traversable
from pathlib import Path

import pluggy

from vczoo.registry.discovery import GROUP
from vczoo.registry.entry import Entry

__all__ = ["API", "GROUP", "hookimpl", "hookspec"]

API = "1"  # raised when a change would break working plugins
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a function of a plugin as an implementation of a hook: `vczoo_entries` or `vczoo_recipes`."""


@hookspec
def vczoo_entries() -> Iterable[Entry]:  # type: ignore[empty-body]
    """The parts that this plugin provides."""


@hookspec
def vczoo_recipes() -> Path | Traversable:  # type: ignore[empty-body]
    """The folder of this plugin's recipes, one file NAME.yaml per recipe."""
