"""Discovery of installed plugins from the metadata of their distributions.

No plugin code runs here, so `vczoo plugins install` and `uninstall` work even if a plugin is broken. For a
distribution without plugins, only one file is read.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any
from urllib.parse import unquote, urlparse

__all__ = ["CORE", "GROUP", "KNOWN_PLUGINS", "Candidate", "candidates", "normalised", "select", "version_fault"]

GROUP = "vczoo"
CORE = "vczoo"
# Prefixes of part names and the distributions that provide them. Errors use it to say what to install.
KNOWN_PLUGINS = {name: f"vczoo-{name}" for name in ("torchvision", "timm", "torchaudio", "transformers", "vocos")}

_TARGET = re.compile(r"[\w.]+(:[\w.]+)?(\s*\[.*\])?")
_CORE_REQUIREMENT = re.compile(
    r"vczoo\s*(\[[^\]]*\])?\s*(?P<versions>[(<>=!~][^;]*)?(;(?P<marker>.*))?$", re.IGNORECASE
)
_SIMPLE = re.compile(r"(>=|<=|==|!=|<|>)\s*(\d+(?:\.\d+)*)")


@dataclass(frozen=True)
class Candidate:
    """One entry point of the group `vczoo`, as its distribution's metadata declare it.

    Attributes:
        name: Name of the entry point.
        value: The plugin, as "module" or "module:attribute".
        distribution: Name of the distribution that declares it, or the name of its metadata folder if the metadata
            have none.
        version: Version of the distribution, or "?" if the metadata have none.
        requires: The range of vczoo versions that it requires, such as ">=0.1,<0.2"; empty if any will do.
        fault: Why it cannot be imported at all; empty if nothing prevents it.
        remark: A problem with the installation that does not prevent loading; empty if there is none.
        installed: The installed distribution that the entry point was read from.
    """

    name: str
    value: str
    distribution: str
    version: str
    requires: str = ""
    fault: str = ""
    remark: str = ""
    installed: metadata.Distribution | None = field(default=None, compare=False, repr=False)

    @property
    def module(self) -> str:
        """Name of the module to import."""
        return self.value.partition("[")[0].partition(":")[0].strip()

    def load(self) -> Any:
        """Import the plugin, which runs its code."""
        return metadata.EntryPoint(self.name, self.value, GROUP).load()

    def place(self) -> tuple[str, bool]:
        """Where the plugin is installed, and whether the installation is editable.

        An editable installation is located at its source folder. Without `installed` the folder is "".
        """
        if self.installed is None:
            return "", False
        try:
            direct_url = json.loads(self.installed.read_text("direct_url.json") or "{}")
            if direct_url.get("dir_info", {}).get("editable"):
                return unquote(urlparse(direct_url["url"]).path), True
            return os.fspath(self.installed.locate_file("")), False  # type: ignore[call-overload]
        except Exception:  # broken metadata must not keep the plugin out of the listing
            return _folder(self.installed), False


def candidates() -> list[Candidate]:
    """Every plugin installed for this interpreter, sorted by name. Broken plugins are included, with their faults."""
    by_distribution: dict[str, list[Candidate]] = {}
    sites: dict[str, str] = {}
    for distribution in metadata.distributions():
        plugins = _read(distribution)
        if not plugins:
            continue
        key, site = normalised(plugins[0].distribution), os.path.dirname(_folder(distribution))
        if key not in by_distribution:
            by_distribution[key], sites[key] = plugins, site
        elif sites[key] == site and _folder(distribution) != _folder(by_distribution[key][0].installed):
            remark = f"{site} also holds the metadata of version {plugins[0].version}; reinstall it"
            by_distribution[key] = [replace(plugin, remark=remark) for plugin in by_distribution[key]]
        # A copy elsewhere on sys.path is ignored: the first one wins, as it does for the code.
    return sorted(
        (plugin for plugins in by_distribution.values() for plugin in plugins),
        key=lambda plugin: (plugin.name, plugin.distribution),
    )


def select(installed: Iterable[Candidate], selection: str | None) -> tuple[list[Candidate], list[Candidate], list[str]]:
    """Split the installed plugins according to `VCZOO_PLUGINS`.

    Args:
        installed: The installed plugins.
        selection: Comma-separated names of entry points or of distributions, or `distribution:name`; None selects all
            plugins.

    Returns:
        The selected plugins, the others, and the names that match no plugin.
    """
    installed = list(installed)
    if selection is None:
        return installed, [], []
    names = [name.strip() for name in selection.split(",") if name.strip()]
    selected = [plugin for plugin in installed if any(_is_called(plugin, name) for name in names)]
    unknown = [
        name for name in names if normalised(name) != CORE and not any(_is_called(plugin, name) for plugin in installed)
    ]
    return selected, [plugin for plugin in installed if plugin not in selected], unknown


def normalised(name: str) -> str:
    """A distribution's name in the normalized form that installers compare."""
    return re.sub(r"[-_.]+", "-", name).lower()


def version_fault(candidate: Candidate, version: str) -> str:
    """Why the plugin's metadata exclude this version of vczoo; "" if they do not."""
    if not candidate.requires or _holds(candidate.requires, version):
        return ""
    return (
        f"it requires vczoo{candidate.requires}, but this is vczoo {version}; "
        f"install another version of {candidate.distribution} or of vczoo"
    )


def _is_called(candidate: Candidate, name: str) -> bool:
    distribution, colon, entry_point = name.rpartition(":")
    if colon:
        return normalised(distribution) == normalised(candidate.distribution) and entry_point == candidate.name
    return name == candidate.name or normalised(name) == normalised(candidate.distribution)


def _read(distribution: metadata.Distribution) -> list[Candidate]:
    """The plugins of one distribution. A broken distribution without plugins is ignored."""
    try:
        text = distribution.read_text("entry_points.txt") or ""
        fault = ""
    except Exception as error:  # UnicodeDecodeError, or anything that a third-party finder raises
        text, fault = "", f"its entry_points.txt cannot be read ({error}); reinstall it"
        if b"[vczoo]" not in _bytes(distribution):
            return []
    if not fault and f"[{GROUP}]" not in text:
        return []
    name, version, requires, header_fault = _headers(distribution)
    fault = fault or header_fault
    rows = list(_entry_points(text)) if not fault else [*_entry_points(text)] or [("?", "", "")]
    return [
        Candidate(entry_point, value, name, version, requires, fault or line_fault, installed=distribution)
        for entry_point, value, line_fault in rows
    ]


def _entry_points(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, value and fault of each entry point in the group `vczoo`."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif section == GROUP and line and line[0] not in "#;":
            name, _, value = map(str.strip, line.partition("="))
            valid = bool(name and _TARGET.fullmatch(value))
            fault = "" if valid else f"entry_points.txt: {line!r} is not NAME = MODULE; reinstall it"
            yield name or "?", value, fault


def _headers(distribution: metadata.Distribution) -> tuple[str, str, str, str]:
    """Name, version, required range of vczoo versions, and fault of a distribution. Reads only the headers."""
    name = version = requires = ""
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except Exception as error:  # as in _read
        text, fault = "", f"its metadata cannot be read ({error}); reinstall it"
    else:
        fault = ""
    for line in text.splitlines():
        if not line.strip():
            break
        key, _, value = line.partition(":")
        value = value.strip()
        if key == "Name":
            name = value
        elif key == "Version":
            version = value
        elif key == "Requires-Dist" and (match := _CORE_REQUIREMENT.match(value)):
            marker = match["marker"]
            if not marker or _applies(marker):
                requires = ",".join(filter(None, (requires, (match["versions"] or "").strip("() "))))
    if not fault and not (name and version):
        missing = " or ".join(header for header, value in (("name", name), ("version", version)) if not value)
        fault = f"its metadata have no {missing}; reinstall it"
    stem = os.path.basename(_folder(distribution)).partition("-")[0]
    return name or stem or "?", version or "?", requires, fault


def _applies(marker: str) -> bool:
    if "extra" in marker:
        return False
    from packaging.markers import InvalidMarker, Marker

    try:
        return Marker(marker).evaluate()
    except InvalidMarker:
        return False


def _holds(versions: str, version: str) -> bool:
    """Whether a version is in a range. Plain numbers are compared here, since importing `packaging` takes 80 ms."""
    clauses = [_SIMPLE.fullmatch(clause.strip()) for clause in versions.split(",") if clause.strip()]
    if not re.fullmatch(r"\d+(\.\d+)*", version) or not all(clauses):
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        try:
            return SpecifierSet(versions).contains(version, prereleases=True)
        except InvalidSpecifier:
            return True  # the range is invalid, which is for the tests of the plugin to find
    ours = _numbers(version)
    for clause in clauses:
        assert clause is not None
        sign, theirs = clause[1], _numbers(clause[2])
        order = (ours > theirs) - (ours < theirs)
        if not {">=": order >= 0, "<=": order <= 0, "==": order == 0, "!=": order != 0, "<": order < 0, ">": order > 0}[
            sign
        ]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(number) for number in version.split(".")]
    while numbers and not numbers[-1]:  # 1.0 is 1
        numbers.pop()
    return tuple(numbers)


def _folder(distribution: metadata.Distribution | None) -> str:
    """The folder of the metadata, a private attribute in importlib; "" if a third-party finder has none."""
    return str(getattr(distribution, "_path", ""))


def _bytes(distribution: metadata.Distribution) -> bytes:
    try:
        with open(os.path.join(_folder(distribution), "entry_points.txt"), "rb") as file:
            return file.read()
    except OSError:
        return b""
