from __future__ import annotations

from types import SimpleNamespace

from vczoo.testing import pytest_terminal_summary


def test_a_module_that_was_skipped_while_it_was_collected_does_not_break_the_summary() -> None:
    collected = SimpleNamespace(outcome="skipped")  # pytest.CollectReport has neither properties nor a phase
    check = SimpleNamespace(user_properties=[("conformance", "odd/net")], when="call", duration=0.5)
    reports = {"passed": [check], "failed": [], "skipped": [collected]}
    lines: list[str] = []
    pytest_terminal_summary(SimpleNamespace(getreports=reports.__getitem__, write_line=lines.append))
    assert lines == ["conformance: 1 entries, 1 passed, 0.5 s"]
