"""Commands that install vczoo, its extras and its plugins, for error messages.

vczoo may have been installed from a folder, for example a clone, and not from a package index. The command then names
that folder.
"""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

__all__ = ["pip_install"]


def pip_install(distribution: str = "vczoo", extra: str = "") -> str:
    """The command that installs a distribution, or an extra of it, from where vczoo itself came.

    Args:
        distribution: `vczoo`, or the name of a plugin.
        extra: Name of an extra; "" for none.
    """
    suffix = f"[{extra}]" if extra else ""
    source = _source_folder()
    if source is not None:
        folder = source if distribution == "vczoo" else source / "plugins" / distribution
        if (folder / "pyproject.toml").is_file():
            return f"pip install {shlex.quote(f'{folder}{suffix}')}"
    requirement = f"{distribution}{suffix}"
    return f'pip install "{requirement}"' if extra else f"pip install {requirement}"


def _source_folder() -> Path | None:
    """The folder that vczoo was installed from, as pip and uv record it (PEP 610); None for a package index."""
    try:
        recorded = json.loads(metadata.distribution("vczoo").read_text("direct_url.json") or "{}")
        url = urlparse(str(recorded.get("url", "")))
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        return None
    folder = Path(unquote(url.path))
    return folder if url.scheme == "file" and folder.is_dir() else None
