"""Bundled runs, and resolution of a recipe's `start` to a run folder. This module does not import torch.

A bundled run is an ordinary run folder inside the package, `vczoo/assets/<name>/`, so loading it needs no network.
"""

from __future__ import annotations

import os
from pathlib import Path

from vczoo.errors import RunError, UnknownNameError
from vczoo.io.text import nearest

__all__ = ["CONFIG", "embedded_names", "embedded_runs", "find_start", "is_bundled"]


def embedded_runs() -> Path:
    """Folder of the bundled runs, each in a subfolder of its name."""
    return Path(__file__).parents[1] / "assets"


def embedded_names() -> list[str]:
    """Names of the bundled runs, sorted."""
    return sorted(path.parent.name for path in embedded_runs().glob(f"*/{CONFIG}"))


def is_bundled(path: Path) -> bool:
    """Whether a run folder is that of a bundled run."""
    return path.parent.resolve() == embedded_runs().resolve()


def find_start(start: str) -> Path:
    """Resolve a recipe's `start` to a run folder.

    Args:
        start: Name of a bundled run, or path of a run folder. A path contains a slash or begins with a dot or ~, and is
            relative to the working directory.

    Raises:
        UnknownNameError: There is no bundled run of that name.
        RunError: There is no run at the path.
    """
    if not _is_path(start):
        names = embedded_names()
        if start in names:
            return embedded_runs() / start
        raise UnknownNameError(
            f"no bundled run is called {start!r}{nearest(start, names)} There are: {', '.join(names) or 'none'}. "
            f"For a run folder, write a path with a slash: ./{start}"
        )
    path = os.path.expanduser(start)
    if not os.path.isfile(os.path.join(path, CONFIG)):  # not Path.is_file, which raises for names that are too long
        raise RunError(
            f"{path}: no run is here ({CONFIG} is missing). `vczoo train` creates runs; check the path (it is "
            f"relative to {Path.cwd()})"
        )
    return Path(path)


def _is_path(text: str) -> bool:
    return "/" in text or os.sep in text or text.startswith((".", "~"))


CONFIG = "vczoo.yaml"
