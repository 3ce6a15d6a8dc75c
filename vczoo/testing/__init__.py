"""Conformance tests for plugins, and a pytest plugin that reports them.

This test file checks everything that a plugin registers:

    from vczoo.testing import conformance_tests
    test_conformance = conformance_tests("vczoo_example")

`conformance(entry, **options)` runs the suite on one entry and returns a result per check; `check_entry` raises at the
first check that fails. Checks run on copies of the part, on noise from fixed seeds, on the CPU and also on a GPU if
there is one. They download nothing. Since pytest loads this module at startup, it does not import torch; the first
check that needs torch does.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vczoo.errors import VczooError
from vczoo.registry.entry import Entry
from vczoo.testing.checks.names import OF_RECIPES, checks_of

if TYPE_CHECKING:
    from vczoo.testing.checks.parts import check_backbone as check_backbone
    from vczoo.testing.checks.parts import check_freezing as check_freezing
    from vczoo.testing.checks.parts import check_head as check_head
    from vczoo.testing.checks.parts import check_metric as check_metric
    from vczoo.testing.checks.parts import check_pitch_tracker as check_pitch_tracker
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
    "check_metric",
    "check_pitch_tracker",
    "check_vocoder",
    "check_watermark",
    "conformance",
    "conformance_tests",
]

MARK = "conformance"
_MODULE_OF = {"CONTEXT": "specimen", "Result": "suite", "check_entry": "suite", "conformance": "suite"}  # or "parts"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'vczoo.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"vczoo.testing.checks.{_MODULE_OF.get(name, 'parts')}"), name)


def conformance_tests(
    plugin: str, options: Mapping[str, Mapping[str, Any]] | None = None, *, entries: Sequence[str] = ("*",)
) -> Callable[..., None]:
    """Make a pytest test for every check of every entry and recipe that a plugin registers.

    Args:
        plugin: Module that the plugin's entry point names.
        options: Options for factories, in addition to the entry's `check_with`. The keys are shell patterns of entry
            names, such as `example/*`.
        entries: Shell patterns of the entries and recipes to test. For a plugin with very many entries, a few
            representative ones are enough.

    Returns:
        A test function, to be assigned to a module-level name that starts with `test_`.

    Raises:
        VczooError: A pattern in `entries` or `options` matches nothing that the plugin registers.
    """
    import pytest

    items = [item for item in _items(importlib.import_module(plugin)) if _matches(item[0], entries)]
    if unknown := [
        name for name in (*entries, *(options or {})) if not any(_matches(item[0], [name]) for item in items)
    ]:
        raise VczooError(f"{plugin} registers no entry or recipe that matches {', '.join(unknown)}")
    suites: dict[str, Conformance] = {}  # holds only the latest entry, whose part is built once for all of its checks

    def suite_of(entry: Entry) -> Conformance:
        from vczoo.testing.checks.suite import Conformance

        label = f"{entry.kind} {entry.name}"
        if label not in suites:
            suites.clear()
            chosen: dict[str, Any] = {}
            for pattern, values in (options or {}).items():
                chosen |= values if fnmatch.fnmatchcase(entry.name, pattern) else {}
            suites[label] = Conformance(entry, chosen, plugin)
        return suites[label]

    def result_of(subject: Entry | Path, check: str) -> Result:
        if isinstance(subject, Path):
            from vczoo.testing.checks.recipes import check_recipe

            return check_recipe(check, subject, plugin)
        suite = suite_of(subject)
        build = suite.result("builds") if check not in {"about", "light"} else None
        return build if build and build.outcome == "skipped" else suite.result(check)

    cases = [pytest.param(subject, check, id=f"{name}-{check}") for name, subject, checks in items for check in checks]

    @pytest.mark.conformance
    @pytest.mark.parametrize(("subject", "check"), cases)
    def test_conformance(subject: Entry | Path, check: str, record_property: Callable[[str, object], None]) -> None:
        record_property(MARK, subject.stem if isinstance(subject, Path) else subject.name)
        result = result_of(subject, check)
        if result.outcome == "skipped":
            pytest.skip(result.detail)
        if result.outcome == "failed":
            pytest.fail(result.detail, pytrace=False)

    return test_conformance


def _items(module: Any) -> Iterator[tuple[str, Entry | Path, Sequence[str]]]:
    """Yield the name, the object and the names of the checks of each entry and recipe that a plugin registers."""
    for entry in module.vczoo_entries() if hasattr(module, "vczoo_entries") else ():
        yield entry.name, entry, checks_of(entry)
    if hasattr(module, "vczoo_recipes"):
        for file in sorted(Path(str(module.vczoo_recipes())).glob("*.yaml")):
            yield file.stem, file, OF_RECIPES


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def pytest_configure(config: Any) -> None:
    """Register the marker of conformance tests; `-m "not conformance"` deselects them."""
    config.addinivalue_line("markers", f"{MARK}: a check of vczoo's conformance suite")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Report how many checks ran on how many entries, and how long they took."""
    count, seconds, names = Counter[str](), 0.0, set()
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.getreports(outcome):
            # A module that is skipped while it is collected has a report without properties.
            tested = [value for name, value in getattr(report, "user_properties", ()) if name == MARK]
            if tested and report.when == "call":
                count[outcome] += 1
                seconds += report.duration
                names.update(tested)
    if names:
        outcomes = ", ".join(f"{number} {outcome}" for outcome, number in count.items())
        terminalreporter.write_line(f"conformance: {len(names)} entries, {outcomes}, {seconds:.1f} s")
