"""Conformance checks of a whole plugin, in a child process.

The child process writes a line before each entry and after each check, so that the report can say where it crashed.
"""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vczoo.errors import VczooError
from vczoo.registry.discovery import normalised
from vczoo.registry.entry import Entry
from vczoo.registry.zoo import the_zoo
from vczoo.testing.checks.names import OF_RECIPES
from vczoo.testing.plugin_kit.source import PluginSource

__all__ = ["Checked", "PluginReport", "check_plugin"]

CORE_MODULE = "vczoo.registry.builtin"
MANY, SAMPLE = 40, 8  # of a plugin with more than MANY entries, SAMPLE are checked unless all are requested
LARGEST_BYTES = 200 * 10**6  # largest weights of an entry in such a sample
LAST_LINES = 3  # lines shown of the error output of a process that crashed


@dataclass
class Checked:
    """The results of one entry or recipe.

    Attributes:
        name: Name of the entry or recipe.
        kind: Kind of the part, or "recipe".
        results: One dictionary per check with the fields of `vczoo.testing.Result`.
    """

    name: str
    kind: str
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What is wrong, one sentence per fault, with the names of all checks that ran into it."""
        faults: list[str] = []
        checks: dict[str, list[str]] = {}
        for result in self.results:
            if result["outcome"] == "failed":
                fault = result["detail"].removeprefix(f"{self.kind} {self.name!r}, {result['name']}: ")
                if fault == result["detail"]:  # it says for itself where it is
                    faults.append(fault)
                else:
                    checks.setdefault(fault, []).append(result["name"])
        return [f"{self.kind} {self.name!r}, {', '.join(names)}: {fault}" for fault, names in checks.items()] + faults


@dataclass
class PluginReport:
    """Report of the checks of a plugin.

    Attributes:
        distribution: Name of the plugin's distribution.
        version: Version of the distribution.
        checked: The entries and recipes that were checked.
        registered: Number of registered entries and recipes that match the pattern.
        faults: What is wrong with the plugin as a whole: it does not load, or it crashed.
    """

    distribution: str
    version: str
    checked: list[Checked] = field(default_factory=list)
    registered: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def all_faults(self) -> list[str]:
        """All faults of the plugin, its entries and its recipes."""
        return self.faults + [fault for subject in self.checked for fault in subject.faults]


def check_plugin(source: PluginSource, pattern: str = "*", *, everything: bool = False) -> PluginReport:
    """Run the conformance checks on every entry and recipe of a plugin, in a child process.

    Args:
        source: The plugin to check.
        pattern: Shell pattern of the names of entries and recipes to check.
        everything: Whether to check all of them even if there are more than 40. Otherwise, 8 of those with weights of
            at most 200 MB are checked, evenly spaced.
    """
    report = PluginReport(source.distribution, source.version)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = [str(source.folder)] if source.folder else []
        if source.folder:
            source.write_metadata(folder / "installed")
            path = [str(folder / "installed"), *path]
        # VCZOO_STRICT would raise instead of reporting; VCZOO_PLUGINS could leave out plugins that a recipe needs.
        inherited = {key: value for key, value in os.environ.items() if key not in ("VCZOO_STRICT", "VCZOO_PLUGINS")}
        environment = {**inherited, "PYTHONPATH": os.pathsep.join([*path, *(part for part in sys.path if part)])}
        request = {"distribution": source.distribution, "pattern": pattern, "everything": everything}
        while True:
            start, lines = len(report.checked), folder / "lines"
            process = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "vczoo.testing.plugin_kit.check",
                    json.dumps(request | {"start": start}),
                    str(lines),
                ],
                capture_output=True,
                text=True,
                check=False,
                env=environment,
            )
            for line in lines.read_text(encoding="utf-8").splitlines() if lines.is_file() else ():
                _add_line(report, json.loads(line))
            if process.returncode:
                report.faults.append(_crash(report, process))
            # After a crash, another process checks the remaining entries.
            if not process.returncode or len(report.checked) == start:
                break
    if not report.registered and not report.faults:
        report.faults.append(f"{source.distribution} registers no entry or recipe that matches {pattern!r}")
    return report


def _add_line(report: PluginReport, line: dict[str, Any]) -> None:
    """Add a line that the child process wrote to the report."""
    if "registered" in line:
        report.registered += line["registered"]
    elif "fault" in line:
        report.faults.append(line["fault"])
    elif "outcome" in line:
        report.checked[-1].results.append(line)
    else:
        report.checked.append(Checked(line["name"], line["kind"]))


def _crash(report: PluginReport, process: subprocess.CompletedProcess[str]) -> str:
    """Say how and where the child process crashed."""
    output = " / ".join(process.stderr.strip().splitlines()[-LAST_LINES:]) or "no error output"
    at = ""
    if report.checked:
        last = report.checked[-1]
        after = f" after {last.results[-1]['name']}" if last.results else ""
        at = f" at {last.kind} {last.name!r}{after}"
    return f"the checking process ended with status {process.returncode}{at}: {output}"


def _run_checks(request: dict[str, Any], write: Callable[[dict[str, Any]], None]) -> None:
    """Load the plugin as the zoo does, and check what it registers. This runs in the child process.

    Args:
        request: Arguments of `check_plugin`, and `start`, the number of entries that are already checked.
        write: Function that writes one line.
    """
    from vczoo.registry.validation import flaws

    zoo = the_zoo()
    # Imported after loading the plugins, so that the zoo can see whether a plugin itself imports torch.
    from vczoo.testing.checks.recipes import check_recipe
    from vczoo.testing.checks.suite import Conformance

    subjects: list[tuple[str, Any, str]] = []
    for plugin in zoo.plugins:
        if normalised(plugin.distribution) != normalised(request["distribution"]):
            continue
        offer, module = plugin.offer, plugin.candidate.module if plugin.candidate else CORE_MODULE
        faults = [plugin.fault] if offer is None else [*flaws(offer), *zoo.clashes(plugin), *offer.remarks]
        for fault in faults if not request["start"] else ():
            write({"fault": f"entry point {plugin.name!r} ({module}): {fault}"})
        subjects += [(entry.name, entry, module) for entry in (offer.entries if offer else ())]
        subjects += [(recipe.name, recipe.file, module) for recipe in (offer.recipes if offer else ())]
    subjects = [subject for subject in subjects if fnmatch.fnmatchcase(subject[0], request["pattern"])]
    if not request["start"]:
        write({"registered": len(subjects)})
        for fault in _missing_replacements([subject for _, subject, _ in subjects if isinstance(subject, Entry)]):
            write({"fault": fault})
    chosen = subjects if request["everything"] else _sample(subjects)
    for name, subject, module in chosen[request["start"] :]:
        if isinstance(subject, Entry):
            write({"name": name, "kind": subject.kind})
            for result in Conformance(subject, module=module).results():
                write(result.to_plain())
        else:
            write({"name": name, "kind": "recipe"})
            for check in OF_RECIPES:
                write(check_recipe(check, Path(str(subject)), module).to_plain())


def _missing_replacements(entries: Sequence[Entry]) -> Iterator[str]:
    """One sentence per entry whose `replaced_by` names no part."""
    for entry in entries:
        if entry.replaced_by:
            try:
                the_zoo().find(entry.kind, entry.replaced_by)
            except VczooError as error:
                yield f"{entry.kind} {entry.name!r}: replaced_by names no part: {error}"


def _sample(subjects: Sequence[Any]) -> Sequence[Any]:
    """Choose the subjects to check: all of them, or an evenly spaced sample if there are many."""
    if len(subjects) <= MANY:
        return subjects
    # Checking a network with a billion parameters would take several times its memory.
    subjects = [subject for subject in subjects if 0 < _size_bytes(subject[1]) <= LARGEST_BYTES] or subjects
    return [subjects[index * (len(subjects) - 1) // (SAMPLE - 1)] for index in range(SAMPLE)]


def _size_bytes(subject: Any) -> int:
    """Size of the default weights; 0 if unknown."""
    weights = getattr(subject, "weights", ())
    return weights[0].size_bytes if weights else 0


if __name__ == "__main__":
    with Path(sys.argv[2]).open("w", encoding="utf-8") as file:
        _run_checks(json.loads(sys.argv[1]), lambda line: print(json.dumps(line), file=file, flush=True))
