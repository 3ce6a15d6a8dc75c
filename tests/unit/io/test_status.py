"""What is being done before a progress bar can count it is logged, and shown on a terminal only."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from vczoo.io import status as status_module
from vczoo.io.status import status


def shown_on(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, shown: bool = True) -> str:
    file = io.StringIO()
    monkeypatch.setattr(status_module, "progress_console", lambda: Console(file=file, force_terminal=terminal))
    with status("decoding the recordings", shown=shown):
        pass
    return file.getvalue()


def test_a_terminal_shows_what_is_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "decoding the recordings" in shown_on(monkeypatch, terminal=True)
    assert not shown_on(monkeypatch, terminal=True, shown=False)


def test_elsewhere_it_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vczoo")
    assert not shown_on(monkeypatch, terminal=False)
    assert caplog.messages == ["decoding the recordings"]


def test_an_error_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "progress_console", lambda: Console(file=io.StringIO(), force_terminal=True))
    with pytest.raises(ValueError, match="broken"), status("decoding the recordings"):
        raise ValueError("broken")
