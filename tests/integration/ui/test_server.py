"""The server of the page: what a visit leaves, and what the end of the server leaves."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from tests.support.served_page import open_visit
from vczoo.errors import PluginError
from vczoo.ui.app import Server
from vczoo.ui.bounds import Bounds


def folders(server: Server) -> list[Path]:
    """The folders of the sessions."""
    return [path for path in server.folder.iterdir() if len(path.name) == 32]


def test_a_visits_files_end_with_its_last_page_and_all_with_the_server() -> None:
    with Server(bounds=replace(Bounds(), grace_seconds=0.0)) as server:
        with httpx2.Client(base_url=server.url, timeout=60) as client:
            open_visit(client, "first")
            (first,) = folders(server)
            (first / "sound.wav").write_bytes(b"sound")
            with client.stream("GET", "/gradio_api/heartbeat/first") as heartbeat:
                lines = heartbeat.iter_lines()  # closed with the last reference to it
                next(lines)
                open_visit(client, "second")
                assert first in folders(server)
            for _ in range(300):  # gradio notices a page that has gone with its next heartbeat
                time.sleep(0.2)
                open_visit(client, "second")
                if first not in folders(server):
                    break
            assert first not in folders(server)
            assert folders(server)
        folder = server.folder
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing answers there
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Server() as server:
        assert httpx2.get(f"{server.url}config", trust_env=False).status_code == 200
    assert "NO_PROXY" not in os.environ


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(PluginError, match=r"vczoo ui needs gradio.*pip install .*\[ui\]"):
        Server()
