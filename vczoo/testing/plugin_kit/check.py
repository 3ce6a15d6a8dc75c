"""The suite on a whole plugin, in a process of its own: a `PluginSource` in; what was found of each entry out.

The process writes a line before each entry and after each check, so that one that crashes says where.
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
MANY, SAMPLE = 40, 8  # entries beyond which, unless all are asked for, so many stand for all
LARGEST_BYTES = 200 * 10**6  # of the weights of those that do
LAST_LINES = 3  # of what a process that crashed said


@dataclass
class Checked:
    """One entry, or recipe, and its results as plain values: name, kind, outcome, detail, seconds."""

    name: str
    kind: str
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What is wrong."""
        return [result["detail"] for result in self.results if result["outcome"] == "failed"]


@dataclass
class PluginReport:
    """What was found of a plugin.

    Attributes:
        distribution, version: of it.
        checked: each entry that was checked.
        registered: how many entries and recipes there are of the names that were asked for.
        faults: what is wrong with the plugin as a whole: it does not load, or it crashed.
    """

    distribution: str
    version: str
    checked: list[Checked] = field(default_factory=list)
    registered: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def all_faults(self) -> list[str]:
        """Everything that is wrong."""
        return self.faults + [fault for one in self.checked for fault in one.faults]


def check_plugin(source: PluginSource, pattern: str = "*", *, everything: bool = False) -> PluginReport:
    """Run the suite on every entry and recipe of a plugin, in a process of its own.

    Args:
        pattern: names of entries, as in a shell.
        everything: all of them, where there are more than 40; else 8, evenly spaced among those of at most 200 MB,
            stand for them.
    """
    report = PluginReport(source.distribution, source.version)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = [str(source.folder)] if source.folder else []
        if source.folder:
            source.write_metadata(folder / "installed")
            path = [str(folder / "installed"), *path]
        # Strict, the zoo would stop at what is to be reported; of those left out a recipe may need a part.
        inherited = {key: value for key, value in os.environ.items() if key not in ("VCZOO_STRICT", "VCZOO_PLUGINS")}
        environment = {**inherited, "PYTHONPATH": os.pathsep.join([*path, *(part for part in sys.path if part)])}
        asked = {"distribution": source.distribution, "pattern": pattern, "everything": everything}
        while True:
            begun, lines = len(report.checked), folder / "lines"
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "vczoo.testing.plugin_kit.check",
                    json.dumps(asked | {"begun": begun}),
                    str(lines),
                ],
                capture_output=True,
                text=True,
                check=False,
                env=environment,
            )
            for line in lines.read_text(encoding="utf-8").splitlines() if lines.is_file() else ():
                _take(report, json.loads(line))
            if done.returncode:
                report.faults.append(_crash(report, done))
            if not done.returncode or len(report.checked) == begun:  # else what is left goes on in another process
                break
    if not report.registered and not report.faults:
        report.faults.append(f"{source.distribution} registers nothing that is called {pattern!r}")
    return report


def _take(report: PluginReport, line: dict[str, Any]) -> None:
    if "registered" in line:
        report.registered += line["registered"]
    elif "fault" in line:
        report.faults.append(line["fault"])
    elif "outcome" in line:
        report.checked[-1].results.append(line)
    else:
        report.checked.append(Checked(line["name"], line["kind"]))


def _crash(report: PluginReport, done: subprocess.CompletedProcess[str]) -> str:
    said = " / ".join(done.stderr.strip().splitlines()[-LAST_LINES:]) or "it said nothing"
    at = ""
    if report.checked:
        last = report.checked[-1]
        after = f" after {last.results[-1]['name']}" if last.results else ""
        at = f" at {last.kind} {last.name!r}{after}"
    return f"the process that checked it ended with status {done.returncode}{at}: {said}"


def _work(asked: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    """In the process of its own: load the plugin as the zoo does, and check what it registers."""
    from vczoo.registry.validation import flaws

    zoo = the_zoo()
    # After it: what a plugin imports that is heavy is seen where nobody else has imported it.
    from vczoo.testing.checks.recipes import check_recipe
    from vczoo.testing.checks.suite import Conformance

    subjects: list[tuple[str, Any, str]] = []
    for plugin in zoo.plugins:
        if normalised(plugin.distribution) != normalised(asked["distribution"]):
            continue
        offer, module = plugin.offer, plugin.candidate.module if plugin.candidate else CORE_MODULE
        told = [plugin.fault] if offer is None else [*flaws(offer), *zoo.clashes(plugin), *offer.remarks]
        for fault in told if not asked["begun"] else ():
            tell({"fault": f"entry point {plugin.name!r} ({module}): {fault}"})
        subjects += [(entry.name, entry, module) for entry in (offer.entries if offer else ())]
        subjects += [(recipe.name, recipe.file, module) for recipe in (offer.recipes if offer else ())]
    subjects = [subject for subject in subjects if fnmatch.fnmatchcase(subject[0], asked["pattern"])]
    if not asked["begun"]:
        tell({"registered": len(subjects)})
        for fault in _lost([subject for _, subject, _ in subjects if isinstance(subject, Entry)]):
            tell({"fault": fault})
    chosen = subjects if asked["everything"] else _sample(subjects)
    for name, subject, module in chosen[asked["begun"] :]:
        if isinstance(subject, Entry):
            tell({"name": name, "kind": subject.kind})
            for result in Conformance(subject, module=module).results():
                tell(result.to_plain())
        else:
            tell({"name": name, "kind": "recipe"})
            for check in OF_RECIPES:
                tell(check_recipe(check, Path(str(subject)), module).to_plain())


def _lost(entries: Sequence[Entry]) -> Iterator[str]:
    """Sentences on entries that name a replacement which is not there."""
    for entry in entries:
        if entry.replaced_by:
            try:
                the_zoo().find(entry.kind, entry.replaced_by)
            except VczooError as error:
                yield f"{entry.kind} {entry.name!r}: replaced_by names nothing: {error}"


def _sample(subjects: Sequence[Any]) -> Sequence[Any]:
    if len(subjects) <= MANY:
        return subjects
    # A network of a billion parameters takes this machine's memory several times over, and stands for no other.
    subjects = [subject for subject in subjects if 0 < _size_bytes(subject[1]) <= LARGEST_BYTES] or subjects
    return [subjects[index * (len(subjects) - 1) // (SAMPLE - 1)] for index in range(SAMPLE)]


def _size_bytes(subject: Any) -> int:
    """Of its default weights; 0 where nobody says."""
    weights = getattr(subject, "weights", ())
    return weights[0].size_bytes if weights else 0


if __name__ == "__main__":
    with Path(sys.argv[2]).open("w", encoding="utf-8") as file:
        _work(json.loads(sys.argv[1]), lambda line: print(json.dumps(line), file=file, flush=True))
