"""Tests that hang."""

from __future__ import annotations

import pytest


def test_a_test_that_hangs_ends_its_process(pytestconfig: pytest.Config) -> None:
    assert float(pytestconfig.getini("faulthandler_timeout")) > 0
    assert pytestconfig.getini("faulthandler_exit_on_timeout")
