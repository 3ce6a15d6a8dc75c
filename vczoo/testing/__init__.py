"""What a plugin's tests use, and a pytest plugin. A plugin's module goes in; a test for each of its promises comes out.

    # tests/test_conformance.py: all that a plugin's author has to write
    from vczoo.testing import conformance_tests
    test_conformance = conformance_tests("vczoo_example")

`conformance(entry, **options)` runs the suite on one entry and returns what each check found; `check_entry` raises at
the first fault. Everything runs on copies, on the CPU (a GPU joins where there is one), on noise from fixed seeds;
nothing is downloaded. pytest loads this module at its start: torch is imported by the first check that needs it.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vczoo.errors import VczooError
from vczoo.io.deprecation import name_of_today
from vczoo.registry.entry import Entry
from vczoo.testing.checks.names import OF_RECIPES, checks_of

if TYPE_CHECKING:
    from vczoo.testing.checks.parts import check_backbone as check_backbone
    from vczoo.testing.checks.parts import check_freezing as check_freezing
    from vczoo.testing.checks.parts import check_head as check_head
    from vczoo.testing.checks.parts import check_vocoder as check_vocoder
    from vczoo.testing.checks.parts import check_watermark as check_watermark
    from vczoo.testing.checks.specimen import CONTEXT as CONTEXT
    from vczoo.testing.checks.suite import Conformance as Conformance
    from vczoo.testing.checks.suite import Result as Result
    from vczoo.testing.checks.suite import check_entry as check_entry
    from vczoo.testing.checks.suite import conformance as conformance

__all__ = [
    "CONTEXT",
    "Result",
    "check_backbone",
    "check_entry",
    "check_freezing",
    "check_head",
    "check_vocoder",
    "check_watermark",
    "conformance",
    "conformance_tests",
]

MARK = "conformance"
_HOMES = {
    "suite": ("Result", "check_entry", "conformance"),
    "parts": ("check_backbone", "check_freezing", "check_head", "check_vocoder", "check_watermark"),
    "specimen": ("CONTEXT",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        if today := name_of_today("vczoo.testing", name):
            return globals()[today] if today in globals() else __getattr__(today)
        raise AttributeError(f"module 'vczoo.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"vczoo.testing.checks.{_MODULE_OF[name]}"), name)


def conformance_tests(
    plugin: str, options: Mapping[str, Mapping[str, Any]] | None = None, *, entries: Sequence[str] = ("*",)
) -> Callable[..., None]:
    """Make a pytest test for every check of every entry, and of every recipe, that a plugin's module registers.

    Args:
        plugin: the module that the entry point names.
        options: of the factories, by name of the entry as in a shell (`example/*`); beside the entry's `check_with`.
        entries: names to be tested, as in a shell; of a plugin with very many a few that stand for the rest.

    Raises:
        VczooError: nothing that it registers has such a name.
    """
    import pytest

    items = [item for item in _items(importlib.import_module(plugin)) if _matches(item[0], entries)]
    if unknown := [
        name for name in (*entries, *(options or {})) if not any(_matches(item[0], [name]) for item in items)
    ]:
        raise VczooError(f"{plugin} registers nothing that is called {', '.join(unknown)}")
    suites: dict[str, Conformance] = {}  # the last entry's: its part is built once for all of its checks

    def suite_of(entry: Entry) -> Conformance:
        from vczoo.testing.checks.suite import Conformance

        label = f"{entry.kind} {entry.name}"
        if label not in suites:
            suites.clear()
            given: dict[str, Any] = {}
            for pattern, values in (options or {}).items():
                given |= values if fnmatch.fnmatchcase(entry.name, pattern) else {}
            suites[label] = Conformance(entry, given, plugin)
        return suites[label]

    def find(subject: Entry | Path, check: str) -> Result:
        if isinstance(subject, Path):
            from vczoo.testing.checks.recipes import check_recipe

            return check_recipe(check, subject, plugin)
        suite = suite_of(subject)
        built = suite.result("builds") if check not in {"about", "light"} else None
        return built if built and built.outcome == "skipped" else suite.result(check)

    cases = [pytest.param(subject, check, id=f"{name}-{check}") for name, subject, checks in items for check in checks]

    @pytest.mark.conformance
    @pytest.mark.parametrize(("subject", "check"), cases)
    def test_conformance(subject: Entry | Path, check: str, record_property: Callable[[str, object], None]) -> None:
        record_property(MARK, subject.stem if isinstance(subject, Path) else subject.name)
        found = find(subject, check)
        if found.outcome == "skipped":
            pytest.skip(found.detail)
        if found.outcome == "failed":
            pytest.fail(found.detail, pytrace=False)

    return test_conformance


def _items(module: Any) -> Iterator[tuple[str, Entry | Path, Sequence[str]]]:
    """Each thing that a plugin registers: its name, itself, and the names of its checks."""
    for entry in module.vczoo_entries() if hasattr(module, "vczoo_entries") else ():
        yield entry.name, entry, checks_of(entry)
    if hasattr(module, "vczoo_recipes"):
        for file in sorted(Path(str(module.vczoo_recipes())).glob("*.yaml")):
            yield file.stem, file, OF_RECIPES


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def pytest_configure(config: Any) -> None:
    """Declare the mark that every such test has: `-m "not conformance"` leaves them out."""
    config.addinivalue_line("markers", f"{MARK}: a check of vczoo's conformance suite")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many checks were made of how many entries, and how long that took."""
    count, seconds, names = Counter[str](), 0.0, set()
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.getreports(outcome):
            mine = [value for name, value in report.user_properties if name == MARK]
            if mine and report.when == "call":
                count[outcome] += 1
                seconds += report.duration
                names.update(mine)
    if names:
        told = ", ".join(f"{number} {outcome}" for outcome, number in count.items())
        terminalreporter.write_line(f"conformance: {len(names)} entries, {told}, {seconds:.1f} s")
