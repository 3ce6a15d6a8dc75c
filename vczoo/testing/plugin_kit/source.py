"""`PluginSource`: a folder or an installed distribution's name in; what it registers under, and where, out. No torch.

A folder that is not installed is given metadata of its own, in a folder that a process has on its path: to that
process it is installed.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from vczoo.errors import PluginError
from vczoo.io.text import nearest
from vczoo.registry.discovery import GROUP

__all__ = ["PluginSource", "find_plugin"]

CORE = {"vczoo": "vczoo.registry.builtin"}


@dataclass(frozen=True)
class PluginSource:
    """A plugin as it is installed, or as it lies in a folder.

    Attributes:
        distribution, version: of the distribution.
        points: its entry points of the group `vczoo`: their names, and the modules that they name.
        folder: what has to be on the path of a process that imports it; None where it is installed.
    """

    distribution: str
    version: str
    points: dict[str, str]
    folder: Path | None = None

    def write_metadata(self, place: Path) -> None:
        """Write in a folder what makes a process that has it on its path take the distribution for installed."""
        info = place / f"{self.distribution.replace('-', '_')}-{self.version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {self.distribution}\nVersion: {self.version}\n", encoding="utf-8"
        )
        lines = "".join(f"{name} = {value}\n" for name, value in self.points.items())
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}", encoding="utf-8")


def find_plugin(where: str) -> PluginSource:
    """Find a plugin by its folder, which has a pyproject.toml, or by its name, `vczoo-` or not.

    Raises:
        PluginError: there is none, or it has no entry point of the group `vczoo`.
    """
    folder = Path(where)
    if (folder / "pyproject.toml").is_file() or "/" in where or where.startswith("."):
        return _of_folder(folder)
    for name in (f"{GROUP}-{where}", where):  # torchvision is the library, vczoo-torchvision the plugin
        try:
            found = metadata.distribution(name)
        except (metadata.PackageNotFoundError, ValueError):
            continue
        points = {point.name: point.value for point in found.entry_points if point.group == GROUP}
        return PluginSource(
            found.name, found.version, _some_points(points or (CORE if name == GROUP else {}), found.name)
        )
    installed = {point.dist.name for point in metadata.entry_points(group=GROUP) if point.dist}
    raise PluginError(
        f"no distribution is called {where!r}{nearest(where, installed)} Give the folder of its pyproject.toml, or one "
        f"of the plugins that are installed: {', '.join(sorted(installed)) or 'none'}"
    )


def _of_folder(folder: Path) -> PluginSource:
    file = folder / "pyproject.toml"
    try:
        values: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PluginError(f"{file}: cannot be read ({error}); give the folder of a plugin's pyproject.toml") from error
    project = values.get("project", {})
    if not isinstance(project, dict) or not isinstance(project.get("name"), str):
        raise PluginError(f"{file}: [project] has no name; give the folder of a plugin's pyproject.toml")
    points = project.get("entry-points", {}).get(GROUP, {})
    # A version that is worked out when a wheel is built is of no account here.
    version, source = str(project.get("version", "0")), folder / "src"
    place = (source if source.is_dir() else folder).resolve()
    return PluginSource(project["name"], version, _some_points(dict(points), str(file)), place)


def _some_points(points: dict[str, str], where: str) -> dict[str, str]:
    if not points:
        raise PluginError(
            f"{where}: no entry point of the group {GROUP!r}; it registers nothing. In pyproject.toml: "
            f'[project.entry-points.{GROUP}] and example = "vczoo_example"'
        )
    return points
