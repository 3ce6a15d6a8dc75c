"""Location of a plugin, either installed or in a source folder. This module does not import torch.

To check a source folder without installing it, its metadata are written to a folder on the path of a child process,
which then finds the plugin as if it were installed.
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
    """A plugin that is installed, or in a source folder.

    Attributes:
        distribution: Name of the plugin's distribution.
        version: Version of the distribution.
        points: Entry points of the group `vczoo`: the module for each name.
        folder: Folder that must be on the path of a process that imports the plugin; None if it is installed.
    """

    distribution: str
    version: str
    points: dict[str, str]
    folder: Path | None = None

    def write_metadata(self, folder: Path) -> None:
        """Write metadata to a folder, so that a process with this folder on its path sees the plugin as installed."""
        info = folder / f"{self.distribution.replace('-', '_')}-{self.version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {self.distribution}\nVersion: {self.version}\n", encoding="utf-8"
        )
        lines = "".join(f"{name} = {value}\n" for name, value in self.points.items())
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}", encoding="utf-8")


def find_plugin(where: str) -> PluginSource:
    """Find a plugin by its source folder or its name.

    Args:
        where: Folder with a pyproject.toml, or name of an installed distribution, with or without `vczoo-`.

    Raises:
        PluginError: There is no such plugin, or it has no entry point of the group `vczoo`.
    """
    folder = Path(where)
    if (folder / "pyproject.toml").is_file() or "/" in where or where.startswith("."):
        return _of_folder(folder)
    for name in (f"{GROUP}-{where}", where):  # torchvision is the library, vczoo-torchvision the plugin
        try:
            distribution = metadata.distribution(name)
        except (metadata.PackageNotFoundError, ValueError):
            continue
        points = {point.name: point.value for point in distribution.entry_points if point.group == GROUP}
        points = points or (CORE if name == GROUP else {})
        return PluginSource(distribution.name, distribution.version, _require_points(points, distribution.name))
    installed = {point.dist.name for point in metadata.entry_points(group=GROUP) if point.dist}
    raise PluginError(
        f"no distribution is called {where!r}{nearest(where, installed)} Pass the folder of its pyproject.toml, or an "
        f"installed plugin: {', '.join(sorted(installed)) or 'none'}"
    )


def _of_folder(folder: Path) -> PluginSource:
    file = folder / "pyproject.toml"
    if not file.is_file():
        raise PluginError(
            f"{folder} is not the folder of a plugin: it has no pyproject.toml. Pass the folder of one, or the name of "
            "an installed plugin (`vczoo plugins` lists them); `vczoo plugin new NAME --kind KIND` creates a plugin"
        )
    try:
        values: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PluginError(f"{file}: cannot be read ({error}); pass the folder of a plugin's pyproject.toml") from error
    project = values.get("project", {})
    if not isinstance(project, dict) or not isinstance(project.get("name"), str):
        raise PluginError(f"{file}: [project] has no name; pass the folder of a plugin's pyproject.toml")
    points = project.get("entry-points", {}).get(GROUP, {})
    # A dynamic version, which is computed when a wheel is built, does not matter here.
    version, source = str(project.get("version", "0")), folder / "src"
    root = (source if source.is_dir() else folder).resolve()
    return PluginSource(project["name"], version, _require_points(dict(points), str(file)), root)


def _require_points(points: dict[str, str], where: str) -> dict[str, str]:
    if not points:
        raise PluginError(
            f"{where}: no entry point of the group {GROUP!r}, so it registers nothing. Add to pyproject.toml: "
            f'[project.entry-points.{GROUP}] with a line such as example = "vczoo_example"'
        )
    return points
