"""A plugin's name in; this interpreter's installer run for it, and what is there afterwards, out. No plugin runs."""

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
    """Install a plugin for this interpreter, after saying where.

    Args:
        name: `timm`, a distribution, with versions too, or anything else that the installer takes for one: a folder,
            a wheel, an address.
        say: is given each line for the user.

    Returns:
        The plugins that are new or changed, and the one of that name.

    Raises:
        PluginError: the name is an option, there is no installer, it fails, or what it installed is no plugin.
    """
    if not name or name.startswith("-"):
        raise PluginError(f"{name!r} is no plugin; an example: vczoo plugins install timm")
    wanted = KNOWN_PLUGINS.get(name, name)
    before = candidates()
    _run(["install"], [wanted], say, f"install {wanted} into")
    called = normalised(re.split(r"[\s\[<>=!~;@]", wanted, maxsplit=1)[0])
    found = [one for one in candidates() if one not in before or normalised(one.distribution) == called]
    if not found:
        raise PluginError(
            f"{wanted} is installed, and registers no plugin for vczoo: its metadata have no entry point of the group "
            f"vczoo. To remove it: {sys.executable} -m pip uninstall {wanted}"
        )
    return found


def uninstall(name: str, say: Say) -> str:
    """Uninstall a plugin from this interpreter, after saying from where; whatever its code does.

    Args:
        name: of the entry point or of the distribution.
        say: as of `install`.

    Returns:
        The distribution that is gone.

    Raises:
        PluginError: no plugin is called that, or two are; or the installer fails.
    """
    found = candidates()
    wanted = {name, KNOWN_PLUGINS.get(name, name)}
    fitting = {
        one.distribution
        for one in found
        if one.name in wanted or normalised(one.distribution) in {normalised(each) for each in wanted}
    }
    exact = {one for one in fitting if normalised(one) == normalised(name)}
    fitting = exact or fitting
    if normalised(name) == CORE:
        raise PluginError(
            f"{name} is no plugin but the zoo itself; to remove it: {sys.executable} -m pip uninstall vczoo"
        )
    if not fitting:
        names = [text for one in found for text in (one.name, one.distribution)]
        raise PluginError(
            f"{name!r} is no plugin that is installed here{nearest(name, names)} `vczoo plugins` lists them; "
            "what is no plugin is left to your installer"
        )
    if len(fitting) > 1:
        raise PluginError(f"{name!r} is a plugin of {' and '.join(sorted(fitting))}; give the distribution's name")
    (distribution,) = fitting
    _run(["uninstall"], [distribution], say, f"uninstall {distribution} from")
    if left := [one for one in candidates() if one.distribution == distribution]:
        raise PluginError(f"{distribution} is still there, in {left[0].place()[0]}; delete it by hand")
    return distribution


def _run(verb: Sequence[str], names: Sequence[str], say: Say, doing: str) -> None:
    command, called = _installer(verb)
    say(f"{doing} {sys.prefix} (Python {platform.python_version()}, {sys.executable}), with {called}")
    sys.stdout.flush()  # what was said comes before what the installer says
    done = subprocess.run([*command, *names], check=False)
    importlib.invalidate_caches()
    if done.returncode:
        raise PluginError(f"{' '.join([*command, *names])} ended with {done.returncode}; its messages stand above")


def _installer(verb: Sequence[str]) -> tuple[list[str], str]:
    """The command of this interpreter's installer, and what it is: pip, or uv where there is no pip."""
    if not sys.executable:
        raise PluginError("this Python does not know its own program (sys.executable); install with its installer")
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", *verb, *(["--yes"] if verb[0] == "uninstall" else [])], "pip"
    uv = (
        [sys.executable, "-m", "uv"]
        if importlib.util.find_spec("uv")
        else [shutil.which("uv") or os.environ.get("UV", "")]
    )
    if not uv[-1]:
        raise PluginError(
            f"neither pip nor uv is here; run {sys.executable} -m ensurepip, or install uv (https://docs.astral.sh/uv)"
        )
    return [*uv, "pip", *verb, "--python", sys.executable], "uv"
