"""Installing and uninstalling plugins with pip or uv, for this Python interpreter. Runs no plugin code."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

from vczoo.errors import PluginError
from vczoo.io.text import nearest
from vczoo.registry.discovery import CORE, KNOWN_PLUGINS, Candidate, candidates, normalised

__all__ = ["install", "uninstall"]

Say = Callable[[str], None]


def install(name: str, say: Say) -> list[Candidate]:
    """Install a plugin for this interpreter. Prints the location first.

    Args:
        name: A known plugin such as `timm`, a distribution with or without a version range, or anything else that the
            installer accepts: a folder, a wheel or a URL.
        say: Called with each line of output for the user.

    Returns:
        The plugins that are new or changed, and those of the named distribution.

    Raises:
        PluginError: the name is empty or an option, there is no installer, the installer fails, or the installed
            distribution registers no plugin.
    """
    if not name or name.startswith("-"):
        raise PluginError(f"{name!r} is not the name of a plugin; for example: vczoo plugins install timm")
    requirement = KNOWN_PLUGINS.get(name, name)
    before = candidates()
    _run(["install"], [requirement], say, f"install {requirement} into")
    distribution = normalised(re.split(r"[\s\[<>=!~;@]", requirement, maxsplit=1)[0])
    installed = [
        plugin for plugin in candidates() if plugin not in before or normalised(plugin.distribution) == distribution
    ]
    if not installed:
        raise PluginError(
            f"{requirement} is now installed but registers no plugin: its metadata have no entry point in the group "
            f"vczoo. To remove it, run: {sys.executable} -m pip uninstall {requirement}"
        )
    return installed


def uninstall(name: str, say: Say) -> str:
    """Uninstall a plugin from this interpreter, even if the plugin is broken. Prints the location first.

    Args:
        name: Name of the plugin's entry point or of its distribution.
        say: Called with each line of output for the user.

    Returns:
        The name of the uninstalled distribution.

    Raises:
        PluginError: no installed plugin has this name, or several do; or the installer fails.
    """
    installed = candidates()
    names = {name, KNOWN_PLUGINS.get(name, name)}
    matches = {
        plugin.distribution
        for plugin in installed
        if plugin.name in names or normalised(plugin.distribution) in {normalised(each) for each in names}
    }
    exact = {distribution for distribution in matches if normalised(distribution) == normalised(name)}
    matches = exact or matches
    if normalised(name) == CORE:
        raise PluginError(
            f"{name} is not a plugin but the zoo itself; to remove it, run: {sys.executable} -m pip uninstall vczoo"
        )
    if not matches:
        valid = [text for plugin in installed for text in (plugin.name, plugin.distribution)]
        raise PluginError(
            f"{name!r} is not an installed plugin{nearest(name, valid)} `vczoo plugins` lists the installed ones; to "
            "uninstall any other package, use pip"
        )
    if len(matches) > 1:
        raise PluginError(
            f"{name!r} is a plugin of {' and '.join(sorted(matches))}; use the name of one of these distributions"
        )
    (distribution,) = matches
    _run(["uninstall"], [distribution], say, f"uninstall {distribution} from")
    if remaining := [plugin for plugin in candidates() if plugin.distribution == distribution]:
        raise PluginError(f"{distribution} is still installed in {remaining[0].place()[0]}; delete it by hand")
    return distribution


def _run(verb: Sequence[str], names: Sequence[str], say: Say, doing: str) -> None:
    command, installer = _installer(verb)
    say(f"{doing} {sys.prefix} (Python {platform.python_version()}, {sys.executable}), with {installer}")
    sys.stdout.flush()  # so that this line is printed before the installer's own output
    process = subprocess.run([*command, *names], check=False)
    importlib.invalidate_caches()
    if process.returncode:
        raise PluginError(
            f"{' '.join([*command, *names])} failed with exit status {process.returncode}; its output is above"
        )


def _installer(verb: Sequence[str]) -> tuple[list[str], str]:
    """The installer's command for this interpreter, and its name: pip, or uv if there is no pip."""
    if not sys.executable:
        raise PluginError("sys.executable is empty, so vczoo cannot run pip; install the package yourself")
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", *verb, *(["--yes"] if verb[0] == "uninstall" else [])], "pip"
    uv = (
        [sys.executable, "-m", "uv"]
        if importlib.util.find_spec("uv")
        else [shutil.which("uv") or os.environ.get("UV", "")]
    )
    if not uv[-1]:
        raise PluginError(
            f"neither pip nor uv is installed; run {sys.executable} -m ensurepip, or install uv "
            "(https://docs.astral.sh/uv)"
        )
    return [*uv, "pip", *verb, "--python", sys.executable], "uv"
