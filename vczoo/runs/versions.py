"""Versions of plugins and libraries, and digests of sources and settings, that a run or feature cache depends on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Any

from vczoo.errors import PluginError
from vczoo.io.install_advice import pip_install
from vczoo.models.recipe import Recipe
from vczoo.registry.requirements import used_plugins
from vczoo.registry.zoo import KNOWN_PLUGINS, the_zoo

__all__ = ["check_distributions", "digest_of_settings", "digest_of_sources", "distributions", "library_versions"]


DRAWING = {"matplotlib", "rich"}


def distributions(recipe: Recipe) -> dict[str, str]:
    """Return the versions of the plugins that a recipe's model needs, by distribution.

    The teacher's plugin is not among them, because a run is loaded without its teacher.
    """
    used = used_plugins({**recipe.to_plain(), "teacher": None})
    return {name: metadata.version(name) for name in sorted(used)}


def check_distributions(needed: Mapping[str, str]) -> None:
    """Check that the plugins that a run needs are installed.

    Args:
        needed: Versions that the run was trained with, by distribution. They are only for the message: any installed
            version is accepted.

    Raises:
        PluginError: A plugin is not installed or does not load.
    """
    plugins = {plugin.distribution: plugin for plugin in the_zoo().plugins}
    for name, version in needed.items():
        if name not in plugins:
            official = name in KNOWN_PLUGINS.values()
            advice = (
                f"Install it with `{pip_install(name)}`"
                if official
                else "It is not one of vczoo's own plugins: find out who publishes it before you install it"
            )
            raise PluginError(
                f"this run needs the plugin {name[:200]!r} ({version[:40]}), which is not installed. {advice}"
            )
        if fault := plugins[name].fault:
            raise PluginError(f"this run needs the plugin {name!r}, which does not load ({fault})")


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of vczoo, of the given distributions, and of their requirements without extras.

    Libraries that only draw are left out: they change no figure.
    """
    packages = {"vczoo", *names}
    for name in tuple(packages):
        requirements = [line for line in metadata.requires(name) or () if "extra ==" not in line]
        packages |= {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requirements}
    packages -= DRAWING
    versions = {}
    for name in sorted(packages):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # for example, a requirement of another platform
            continue
    return versions


def digest_of_sources(packages: Iterable[str]) -> str:
    """Return the SHA-256 over the Python files of packages; it also changes if a plugin is edited in place."""
    files = []
    for name in sorted(set(packages)):
        spec = util.find_spec(name)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            files += sorted(Path(folder).rglob("*.py"))
    return _digest(files)


def digest_of_settings(options: Mapping[str, Any]) -> str:
    """Return the SHA-256 over the .json files in folders named by `options`: configurations stored next to weights."""
    folders = [Path(value) for value in options.values() if isinstance(value, str) and Path(value).is_dir()]
    return _digest(path for folder in folders for path in sorted(folder.glob("*.json")))


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
