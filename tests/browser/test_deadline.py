"""A browser that does not answer ends in an error, not in a test that waits forever."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.deadline import browser_processes, killed_after


def test_what_waits_for_the_browser_ends(browser: Any) -> None:
    page = browser.new_page()
    with pytest.raises(AssertionError, match="processes were killed"), killed_after(2, browser_processes):
        page.evaluate("new Promise(() => {})")
    assert browser_processes() == []
