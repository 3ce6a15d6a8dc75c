"""The whole plugin API on one screen. A plugin is a module under the entry-point group `vczoo`.

    # pyproject.toml                             # vczoo_example/__init__.py
    [project.entry-points.vczoo]                 import vczoo
    example = "vczoo_example"
                                                 vczoo_api = "1"

                                                 @vczoo.hookimpl
                                                 def vczoo_entries():
                                                     return [vczoo.Entry(name="example/net", kind="backbone", …)]

That module holds names and metadata alone: it imports neither torch nor the library that it wraps. The line `vczoo_api`
says for which version of this page it was written; it is read before the module is imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources.abc import Traversable
from pathlib import Path

import pluggy

from vczoo.registry.discovery import GROUP
from vczoo.registry.entry import Entry

__all__ = ["API", "GROUP", "hookimpl", "hookspec"]

API = "1"  # it changes where a plugin that worked would no longer work
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a plugin's function as one of the hooks below: `vczoo_entries` or `vczoo_recipes`."""


@hookspec
def vczoo_entries() -> Iterable[Entry]:  # type: ignore[empty-body]
    """The parts that this plugin provides."""


@hookspec
def vczoo_recipes() -> Path | Traversable:  # type: ignore[empty-body]
    """A folder that holds recipes, one NAME.yaml each."""
