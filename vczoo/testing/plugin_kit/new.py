"""A name and a kind in; the folder of a plugin that works, out. What it says stands in `templates/`. No torch here."""

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

KINDS = ("backbone", "freezing", "head", "vocoder", "recipes")
PREFIX, SUFFIX = "vczoo-", ".tmpl"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
HIDDEN = "dot-"  # at the start of a template's name, where the file's has a dot


def new_plugin(name: str, kind: str, out: Path | None = None, *, author: str = "") -> Path:
    """Write the folder of a new distribution: all of it or nothing.

    Args:
        name: example and vczoo-example both make the distribution vczoo-example and the package vczoo_example.
        kind: backbone, freezing, head, vocoder or recipes.
        out: the folder to make; vczoo-example here if None.
        author: for the licence; git's user.name if empty.

    Returns:
        The folder.

    Raises:
        VczooError: no such kind, a name that a distribution cannot have, an author that nobody names, a folder that
            exists or cannot be made.
    """
    if kind not in KINDS:
        raise VczooError(f"{kind!r} is no kind of plugin{nearest(kind, KINDS)} Kinds: {', '.join(KINDS)}")
    plugin = name.removeprefix(PREFIX)
    if not NAME.fullmatch(plugin):
        raise VczooError(
            f"{name!r} is no plugin's name: small letters and digits, a letter first, words joined by -, as in my-net"
        )
    if plugin in KNOWN_PLUGINS:
        raise VczooError(f"{PREFIX}{plugin} is there already, by the authors of vczoo; choose another name")
    folder = out or Path(f"{PREFIX}{plugin}")
    if folder.exists() or folder.is_symlink():
        raise VczooError(f"{folder} exists; choose another folder with --out")
    words = {
        "plugin": plugin,
        "distribution": f"{PREFIX}{plugin}",
        "package": f"{PREFIX}{plugin}".replace("-", "_"),
        "author": author.strip() or _git_author(),
        "year": str(datetime.datetime.now(tz=datetime.UTC).year),
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name[:50]}-", suffix=".partial", dir=folder.parent))
        try:
            beside.chmod(0o755)  # mkdtemp makes folders that only their owner can read
            for part in ("common", kind):
                _write(files("vczoo.testing.plugin_kit") / "templates" / part, beside, words)
            beside.rename(folder)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    except OSError as error:
        raise VczooError(f"{folder}: cannot be made ({error})") from error
    return folder


def _write(template: Traversable, place: Path, words: dict[str, str]) -> None:
    """Write what is in a folder of templates, names and texts filled in."""
    for item in template.iterdir():
        name = item.name.removesuffix(SUFFIX)
        path = place / _filled(f".{name.removeprefix(HIDDEN)}" if name.startswith(HIDDEN) else name, words)
        if item.is_dir():
            path.mkdir(exist_ok=True)
            _write(item, path, words)
        elif item.name.endswith(SUFFIX):
            path.write_text(_filled(item.read_text(encoding="utf-8"), words), encoding="utf-8")


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(r"@([a-z]+)@", lambda found: words.get(found[1], found[0]), text)


def _git_author() -> str:
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    except OSError:
        done = None
    if done is None or not done.stdout.strip():
        raise VczooError("nobody says whose the licence is: give --author 'Your Name', or set git's user.name")
    return done.stdout.strip()
