"""Requests that the page of `vczoo ui` must not answer, sent to a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from tests.support.served_page import Served
from vczoo.cli.app import app
from vczoo.errors import VczooError

TOKEN = "correct horse battery"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    page = Served(tmp_path_factory.mktemp("page") / "tmp")
    yield page
    assert page.end() == 143
    assert list(page.folder.glob("vczoo-ui-*")) == []


@pytest.fixture
def client(served: Served) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=served.url, timeout=60) as connection:
        yield connection


def test_no_path_leads_out_of_the_working_folder(served: Served, client: httpx2.Client, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    inside = served.working_folder
    names = [
        str(tmp_path / "secret.txt"),
        f"{inside}/../../../../../../{tmp_path}/secret.txt",
        f"{inside}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e{tmp_path}/secret.txt",
        quote(f"{inside}/../..", safe=""),
        "/etc/passwd",
        "/proc/self/environ",
        "pyproject.toml",
        "./pyproject.toml",
        "../pyproject.toml",
        str(Path(__file__).resolve()),
        "http://127.0.0.1:1/x",
        "https://example.org/",
        f"{inside}",
    ]
    for name in names:
        for route in ("/gradio_api/file=", "/file=", "/gradio_api/file/"):
            answer = client.get(f"{route}{name}")
            assert answer.status_code in (403, 404, 405), (route, name)
            assert "secret" not in answer.text


def test_an_uploads_name_leads_nowhere_and_its_type_is_no_page(served: Served, client: httpx2.Client) -> None:
    evil = "<script>alert(1)</script>"
    for name in ("../../evil.html", "/etc/evil.html", "..\\..\\evil.html", "evil.html", "evil.svg", "a" * 300 + ".wav"):
        answer = client.post("/gradio_api/upload", files={"files": (name, evil)})
        if answer.status_code != 200:
            continue
        (path,) = answer.json()
        assert Path(path).resolve().is_relative_to(served.working_folder)
        shown = client.get(f"/gradio_api/file={path}")
        assert "html" not in shown.headers["content-type"]
        assert "svg" not in shown.headers["content-type"]
        assert shown.headers["x-content-type-options"] == "nosniff"


def test_what_is_too_large_is_refused(client: httpx2.Client) -> None:
    answer = client.post("/gradio_api/upload", files={"files": ("large.wav", bytes(65_000_000))})
    assert answer.status_code == 413


def test_another_host_name_is_refused(client: httpx2.Client) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403


def test_a_made_up_session_and_another_path_get_nothing(client: httpx2.Client) -> None:
    config = client.get("/config").json()
    converting = next(
        function["id"] for function in config["dependencies"] if any(t[1] == "click" for t in function["targets"])
    )
    for path in ("/etc/passwd", "../../etc/passwd"):
        data = ["guessed token", {"path": path, "meta": {"_type": "gradio.FileData"}}, "woman-1", "", 50, True, 0, 0]
        body = {"data": data, "fn_index": converting, "session_hash": "other"}
        assert client.post("/gradio_api/queue/join", json=body).status_code == 200
        with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "other"}) as events:
            first = islice(events.iter_lines(), 100)  # heartbeats would go on without an end
            lines = [json.loads(line[6:]) for line in first if line.startswith("data: ")]
        ended = [line for line in lines if line["msg"] == "process_completed"]
        assert [line["success"] for line in ended] == [False]
        assert "root:" not in json.dumps(lines)


def test_other_machines_need_the_token_everywhere(tmp_path: Path) -> None:
    page = Served(tmp_path / "tmp", "--host", "0.0.0.0", "--token", TOKEN)
    try:
        address = page.url.split("?")[0].replace("0.0.0.0", "127.0.0.1")
        with httpx2.Client(base_url=address, timeout=60) as stranger:
            for path in (
                "/",
                "/config",
                "/gradio_api/info",
                "/theme.css",
                "/gradio_api/heartbeat/x",
                "/gradio_api/queue/status",
            ):
                assert stranger.get(path).status_code == 401
            assert stranger.post("/gradio_api/upload", files={"files": ("a.wav", b"x")}).status_code == 401
            assert stranger.get("/", params={"token": "wrong"}).status_code == 401
            assert stranger.get("/", params={"token": TOKEN}).status_code == 303
            assert stranger.get("/config").status_code == 200

    finally:
        page.end()


def test_without_a_token_other_machines_are_not_served() -> None:
    with pytest.raises(VczooError, match="--token"):
        app(["ui", "--host", "0.0.0.0"], standalone_mode=False)


def test_a_killed_server_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    page = Served(tmp_path / "tmp")
    left = page.working_folder
    page.kill()
    assert left.exists()
    time.sleep(0.1)
    following = Served(tmp_path / "tmp")
    try:
        assert not left.exists()
    finally:
        following.end()
