"""The user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FOLDER_VARIABLE", "user_cache_folder"]

FOLDER_VARIABLE = "VCZOO_CACHE"


def user_cache_folder() -> Path:
    """The folder `VCZOO_CACHE`, or ~/.cache/vczoo. It need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(FOLDER_VARIABLE) or Path(base) / "vczoo")
