"""A recipe in; what its parts come from and are built on, with versions and digests, out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Any

from vczoo.errors import PluginError
from vczoo.models.recipe import Recipe
from vczoo.registry.requirements import used_plugins
from vczoo.registry.zoo import KNOWN_PLUGINS, the_zoo

__all__ = ["check_distributions", "digest_of_settings", "digest_of_sources", "distributions", "library_versions"]


def distributions(recipe: Recipe) -> dict[str, str]:
    """The plugins whose parts a recipe's model uses, with their versions; a run is loaded without its teacher."""
    used = used_plugins({**recipe.to_plain(), "teacher": None})
    return {name: metadata.version(name) for name in sorted(used)}


def check_distributions(needed: Mapping[str, str]) -> None:
    """See that the plugins that a run needs are installed.

    Args:
        needed: distributions, with the versions that the run was made with.

    Raises:
        PluginError: one is not installed, or does not load.
    """
    plugins = {plugin.distribution: plugin for plugin in the_zoo().plugins}
    for name, version in needed.items():
        if name not in plugins:
            known = name in KNOWN_PLUGINS.values()
            advice = f"pip install {name}" if known else "it is not one of vczoo's own: find out who publishes it first"
            raise PluginError(
                f"this run needs the plugin {name[:200]!r} ({version[:40]}), not installed here; {advice}"
            )
        if fault := plugins[name].fault:
            raise PluginError(f"this run needs the plugin {name!r}, which does not load ({fault})")


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of vczoo, of these distributions, and of what each of them requires without extras."""
    wanted = {"vczoo", *names}
    for name in tuple(wanted):
        needed = [line for line in metadata.requires(name) or () if "extra ==" not in line]
        wanted |= {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in needed}
    found = {}
    for name in sorted(wanted):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # of another platform, say
            continue
    return found


def digest_of_sources(packages: Iterable[str]) -> str:
    """Of the Python files of packages: who writes a plugin changes its code and not its version."""
    files = []
    for name in sorted(set(packages)):
        spec = util.find_spec(name)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            files += sorted(Path(place).rglob("*.py"))
    return _digest(files)


def digest_of_settings(options: Mapping[str, Any]) -> str:
    """Of the .json files in folders that options name: a network's configuration lies beside its weights."""
    folders = [Path(value) for value in options.values() if isinstance(value, str) and Path(value).is_dir()]
    return _digest(path for folder in folders for path in sorted(folder.glob("*.json")))


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
