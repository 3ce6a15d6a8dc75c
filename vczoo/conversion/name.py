"""What a name means: a recipe, a run folder or a repository on the Hub. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from vczoo.errors import UnknownNameError
from vczoo.hub.name import check_path, is_hub_name
from vczoo.io.text import truncated_list
from vczoo.models.bundled import CONFIG  # not from runs.run, which imports torch
from vczoo.registry.zoo import the_zoo

__all__ = ["Kind", "read_name"]

Kind = Literal["recipe", "run", "hub"]


def read_name(name: str | os.PathLike[str]) -> tuple[Kind, str]:
    """Resolve a name to ("recipe", name or file), ("run", folder) or ("hub", owner/name[@revision]).

    Raises:
        UnknownNameError: The name is not known, or has two meanings.
    """
    text = os.fspath(name)
    path = Path(text).expanduser()
    if path.suffix in {".yaml", ".yml"}:
        return "recipe", str(path)
    explicit = isinstance(name, os.PathLike) or path.is_absolute() or text.startswith((".", "~"))
    if explicit:
        return "run", str(path)
    if is_hub_name(text):
        if path.is_dir():
            raise UnknownNameError(
                f"{text!r} may be a folder here or owner/name on the Hub; write ./{text} for the folder, or "
                f"{text}@main for the Hub"
            )
        check_path(text)
        return "hub", text
    if "/" in text or os.sep in text:
        return "run", str(path)
    try:
        the_zoo().recipe(text)
    except UnknownNameError as error:
        if not path.is_dir():
            raise
        raise UnknownNameError(
            f"{text}: this folder is not a run, because it has no {CONFIG}.{_runs_in(path)}"
        ) from error
    return "recipe", text


def _runs_in(folder: Path) -> str:
    """Name the runs in a folder, as the next step of an error."""
    runs = sorted(str(path.parent) for path in folder.glob(f"*/{CONFIG}"))
    return f" Choose one of the runs in it: {', '.join(truncated_list(runs))}" if runs else " Check the path"
