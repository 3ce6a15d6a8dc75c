"""Metadata of installed distributions in; the plugins that they declare, out. No code of a plugin runs here.

Hence `vczoo plugins install` and `uninstall` work whatever a plugin does. Of a distribution without plugins, one file
is read.
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
# Prefixes of part names and the distributions that provide them, so that an error can say what to install.
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
        name: of the entry point.
        value: "module" or "module:attribute", which is the plugin.
        distribution: that declares it; its folder's name where the metadata do not say.
        version: of the distribution; "?" where the metadata do not say.
        requires: the versions of vczoo that it says it works with, as in ">=0.1,<0.2".
        fault: why it cannot even be tried.
        remark: what is odd about its installation.
        installed: where this stands.
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
        """The module that is imported."""
        return self.value.partition("[")[0].partition(":")[0].strip()

    def load(self) -> Any:
        """Import the plugin, which runs its code."""
        return metadata.EntryPoint(self.name, self.value, GROUP).load()

    def place(self) -> tuple[str, bool]:
        """The folder that it is installed in, or its source's where that is used as it stands; and whether it is."""
        if self.installed is None:
            return "", False
        try:
            told = json.loads(self.installed.read_text("direct_url.json") or "{}")
            if told.get("dir_info", {}).get("editable"):
                return unquote(urlparse(told["url"]).path), True
            return os.fspath(self.installed.locate_file("")), False  # type: ignore[call-overload]
        except Exception:  # broken metadata must not hide the plugin's line
            return _folder(self.installed), False


def candidates() -> list[Candidate]:
    """Every plugin that is installed for this interpreter, by name, the broken ones with their faults."""
    found: dict[str, list[Candidate]] = {}
    homes: dict[str, str] = {}
    for distribution in metadata.distributions():
        here = _read(distribution)
        if not here:
            continue
        key, home = normalised(here[0].distribution), os.path.dirname(_folder(distribution))
        if key not in found:
            found[key], homes[key] = here, home
        elif homes[key] == home and _folder(distribution) != _folder(found[key][0].installed):
            other = f"metadata of version {here[0].version} lie beside its own in {home}; reinstall it"
            found[key] = [replace(one, remark=other) for one in found[key]]
        # elsewhere on sys.path: the first place wins there, as it does for the code
    return sorted((one for row in found.values() for one in row), key=lambda one: (one.name, one.distribution))


def select(found: Iterable[Candidate], wanted: str | None) -> tuple[list[Candidate], list[Candidate], list[str]]:
    """Split candidates by what `VCZOO_PLUGINS` says.

    Args:
        wanted: names separated by commas: of entry points, of distributions, or `distribution:name`; None for all.

    Returns:
        The chosen ones, those left out, and the names that nothing has.
    """
    found = list(found)
    if wanted is None:
        return found, [], []
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    chosen = [one for one in found if any(_is_called(one, name) for name in names)]
    unknown = [name for name in names if normalised(name) != CORE and not any(_is_called(one, name) for one in found)]
    return chosen, [one for one in found if one not in chosen], unknown


def normalised(name: str) -> str:
    """A distribution's name as installers compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def version_fault(candidate: Candidate, version: str) -> str:
    """What keeps a plugin from working with this version of vczoo, by its own metadata; "" where nothing does."""
    if not candidate.requires or _holds(candidate.requires, version):
        return ""
    return (
        f"it requires vczoo{candidate.requires}, and this is vczoo {version}; "
        f"install another version of {candidate.distribution}, or of vczoo"
    )


def _is_called(candidate: Candidate, name: str) -> bool:
    distribution, colon, point = name.rpartition(":")
    if colon:
        return normalised(distribution) == normalised(candidate.distribution) and point == candidate.name
    return name == candidate.name or normalised(name) == normalised(candidate.distribution)


def _read(distribution: metadata.Distribution) -> list[Candidate]:
    """The plugins of one distribution; a distribution with none gives none, however broken it is."""
    try:
        text = distribution.read_text("entry_points.txt") or ""
        fault = ""
    except Exception as error:  # UnicodeDecodeError, or whatever a foreign finder raises
        text, fault = "", f"its entry_points.txt cannot be read ({error}); reinstall it"
        if b"[vczoo]" not in _bytes(distribution):
            return []
    if not fault and f"[{GROUP}]" not in text:
        return []
    name, version, requires, broken = _headers(distribution)
    fault = fault or broken
    rows = list(_points(text)) if not fault else [*_points(text)] or [("?", "", "")]
    return [
        Candidate(point, value, name, version, requires, fault or wrong, installed=distribution)
        for point, value, wrong in rows
    ]


def _points(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, value and fault of each line of the group."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif section == GROUP and line and line[0] not in "#;":
            name, _, value = map(str.strip, line.partition("="))
            right = bool(name and _TARGET.fullmatch(value))
            wrong = "" if right else f"entry_points.txt: {line!r} is not NAME = MODULE; reinstall it"
            yield name or "?", value, wrong


def _headers(distribution: metadata.Distribution) -> tuple[str, str, str, str]:
    """Name, version, the versions of vczoo that it requires, and what is wrong. Reads no further than the headers."""
    name = version = requires = ""
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except Exception as error:  # as above
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
        lacking = " and ".join(word for word, value in (("name", name), ("version", version)) if not value)
        fault = f"its metadata give no {lacking}; reinstall it"
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
    """Whether a version is in a range. Numbers are compared here: to import `packaging` takes 80 ms."""
    clauses = [_SIMPLE.fullmatch(clause.strip()) for clause in versions.split(",") if clause.strip()]
    if not re.fullmatch(r"\d+(\.\d+)*", version) or not all(clauses):
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        try:
            return SpecifierSet(versions).contains(version, prereleases=True)
        except InvalidSpecifier:
            return True  # no range that anybody could hold to; its own tests must find it
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
    """The folder of the metadata, which importlib keeps to itself; "" where a foreign finder has none."""
    return str(getattr(distribution, "_path", ""))


def _bytes(distribution: metadata.Distribution) -> bytes:
    try:
        with open(os.path.join(_folder(distribution), "entry_points.txt"), "rb") as file:
            return file.read()
    except OSError:
        return b""
