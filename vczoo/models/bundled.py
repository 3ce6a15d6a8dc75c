"""A recipe's `start` in; the folder of the run that it names, inside this package or anywhere else, out. No torch here.

A run inside the package is an ordinary run folder, `vczoo/assets/<name>/`: it is loaded offline.
"""

from __future__ import annotations

import os
from pathlib import Path

from vczoo.errors import RunError, UnknownNameError
from vczoo.io.text import nearest

__all__ = ["CONFIG", "embedded_names", "embedded_runs", "find_start"]


def embedded_runs() -> Path:
    """The folder that holds the runs inside the package, each in a folder of its name."""
    return Path(__file__).parents[1] / "assets"


def embedded_names() -> list[str]:
    """The names of the runs inside the package."""
    return sorted(path.parent.name for path in embedded_runs().glob(f"*/{CONFIG}"))


def find_start(start: str) -> Path:
    """The folder of a run: of one inside the package by its name, of any other by its path.

    Args:
        start: a name; or a path, which has a slash in it or begins with a dot or ~, and is relative to where one is.

    Raises:
        UnknownNameError: no run inside the package has the name.
        RunError: no run is at the path.
    """
    if not _is_path(start):
        names = embedded_names()
        if start in names:
            return embedded_runs() / start
        raise UnknownNameError(
            f"no run inside vczoo is called {start!r}{nearest(start, names)} There are: {', '.join(names) or 'none'}. "
            f"A folder is named with a slash: ./{start}"
        )
    path = os.path.expanduser(start)
    if not os.path.isfile(os.path.join(path, CONFIG)):  # Path raises where a name is too long to be one
        raise RunError(
            f"{path}: no run is here ({CONFIG} is missing). A run is what `vczoo train` makes; check the path (it is "
            f"relative to {Path.cwd()})"
        )
    return Path(path)


def _is_path(text: str) -> bool:
    return "/" in text or os.sep in text or text.startswith((".", "~"))


CONFIG = "vczoo.yaml"
