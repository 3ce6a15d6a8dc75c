"""Creation of a new plugin from the files in `templates/`. This module does not import torch."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
import tempfile
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from vczoo.errors import VczooError
from vczoo.io.text import nearest
from vczoo.registry.discovery import KNOWN_PLUGINS

__all__ = ["KINDS", "new_plugin"]

KINDS = ("backbone", "freezing", "head", "vocoder", "pitch", "metric", "recipes")
PREFIX, SUFFIX = "vczoo-", ".tmpl"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
HIDDEN = "dot-"  # stands for the leading dot of a file's name in the name of its template


def new_plugin(name: str, kind: str, out: Path | None = None, *, author: str = "") -> Path:
    """Create the folder of a new plugin, completely or not at all.

    Args:
        name: Name of the plugin. Both example and vczoo-example create the distribution vczoo-example with the package
            vczoo_example.
        kind: What the plugin provides: backbone, freezing, head, vocoder, pitch, metric or recipes.
        out: Folder to create; None for vczoo-example in the current folder.
        author: Author named in the license; if empty, user.name of git.

    Returns:
        The folder.

    Raises:
        VczooError: The kind or the name is not valid, there is no author, or the folder exists or cannot be created.
    """
    if kind not in KINDS:
        raise VczooError(f"{kind!r} is not a kind of plugin{nearest(kind, KINDS)} Kinds: {', '.join(KINDS)}")
    plugin = name.removeprefix(PREFIX)
    if not NAME.fullmatch(plugin):
        raise VczooError(
            f"{name!r} is not a valid plugin name; use lowercase letters, digits and single hyphens, starting with a "
            "letter, as in my-net"
        )
    if plugin in KNOWN_PLUGINS:
        raise VczooError(f"{PREFIX}{plugin} is an official plugin of vczoo; choose another name")
    folder = out or Path(f"{PREFIX}{plugin}")
    if folder.exists() or folder.is_symlink():
        raise VczooError(f"{folder} already exists; choose another folder with --out")
    values = {
        "plugin": plugin,
        "distribution": f"{PREFIX}{plugin}",
        "package": f"{PREFIX}{plugin}".replace("-", "_"),
        "author": author.strip() or _git_author(),
        "year": str(datetime.datetime.now(tz=datetime.UTC).year),
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name[:50]}-", suffix=".partial", dir=folder.parent))
        try:
            temporary.chmod(0o755)  # mkdtemp creates folders that only their owner can read
            for part in ("common", kind):
                _write(files("vczoo.testing.plugin_kit") / "templates" / part, temporary, values)
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise VczooError(f"{folder} cannot be created ({error})") from error
    return folder


def _write(template: Traversable, folder: Path, values: dict[str, str]) -> None:
    """Write the files of a template folder, with the placeholders in their names and texts replaced."""
    for item in template.iterdir():
        name = item.name.removesuffix(SUFFIX)
        path = folder / _filled(f".{name.removeprefix(HIDDEN)}" if name.startswith(HIDDEN) else name, values)
        if item.is_dir():
            path.mkdir(exist_ok=True)
            _write(item, path, values)
        elif item.name.endswith(SUFFIX):
            path.write_text(_filled(item.read_text(encoding="utf-8"), values), encoding="utf-8")


def _filled(text: str, values: dict[str, str]) -> str:
    """Replace each placeholder `@name@` by its value."""
    return re.sub(r"@([a-z]+)@", lambda match: values.get(match[1], match[0]), text)


def _git_author() -> str:
    try:
        result = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    except OSError:
        result = None
    if result is None or not result.stdout.strip():
        raise VczooError("the license needs an author: pass --author 'Your Name', or set user.name in git")
    return result.stdout.strip()
