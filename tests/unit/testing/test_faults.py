"""What the author of a plugin is told about its faults."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vczoo import Entry
from vczoo.testing.checks.suite import Conformance
from vczoo.testing.plugin_kit.check import Checked

BROKEN = """
def build():
    return first(iter(()))

def first(stages):
    return stages[0]
"""


def test_an_exception_is_reported_with_its_place_in_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_plugin.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    entry = Entry(
        name="broken/net",
        kind="backbone",
        factory="broken_plugin:build",
        summary="a network",
        licence="MIT",
        source="broken-plugin",
    )
    try:
        details = [result.detail for result in Conformance(entry).results() if result.outcome == "failed"]
    finally:
        sys.modules.pop("broken_plugin", None)
    place = f"({tmp_path / 'broken_plugin.py'}:6, in first)"
    assert details == [
        f"backbone 'broken/net', builds: TypeError: 'tuple_iterator' object is not subscriptable {place}"
    ]


def test_a_fault_that_several_checks_run_into_is_reported_once() -> None:
    failed = {"outcome": "failed"}
    checked = Checked(
        "odd/net",
        "backbone",
        [
            failed | {"name": "stages", "detail": "backbone 'odd/net', stages: no stages"},
            failed | {"name": "exports", "detail": "backbone 'odd/net', exports: no stages"},
            failed | {"name": "batch", "detail": "backbone 'odd/net', batch: another shape"},
            {"outcome": "passed", "name": "builds", "detail": ""},
            failed | {"name": "light", "detail": "odd.factory cannot be imported"},
        ],
    )
    assert checked.faults == [
        "backbone 'odd/net', stages, exports: no stages",
        "backbone 'odd/net', batch: another shape",
        "odd.factory cannot be imported",
    ]
