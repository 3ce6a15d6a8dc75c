from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from vczoo.ui.gate import COOKIE, Gate


async def page(scope: Any, receive: Any, send: Any) -> None:
    """A page that reads the whole body and answers."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-disposition", b"attachment; filename=3f2a.wav")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"page"})


def ask(
    gate: Gate,
    path: str,
    *,
    method: str = "GET",
    query: str = "",
    headers: Sequence[tuple[str, str]] = (),
    body: Sequence[bytes] = (b"",),
) -> tuple[int, dict[str, str], str]:
    """The status, headers and text of an answer."""
    chunks = list(body)
    answer: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        answer.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(gate(scope, receive, send))
    fields = {name.decode(): value.decode() for name, value in answer[0]["headers"]}
    return answer[0]["status"], fields, b"".join(message.get("body", b"") for message in answer[1:]).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    working = tmp_path / "work"
    working.mkdir()
    (working / "sound.wav").write_bytes(b"sound")
    (tmp_path / "secret.txt").write_text("secret")
    (working / "link.wav").symlink_to(tmp_path / "secret.txt")
    return working


def test_files_of_the_working_folder_are_served(folder: Path) -> None:
    for prefix in ("/gradio_api/file=", "/file=", "/gradio_api/file/"):
        assert ask(Gate(page, folder), f"{prefix}{folder / 'sound.wav'}")[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "{folder}/../secret.txt",
        "{folder}/link.wav",
        "secret.txt",
        "../secret.txt",
        "{quoted}",
        "{twice}",
        "http://169.254.169.254/latest",
        "https://example.org/x",
        "{folder}/sound.wav\0/../../secret.txt",
        "file:///etc/passwd",
        "",
    ],
)
def test_no_other_file_is_served(folder: Path, name: str) -> None:
    away = f"{folder}/../secret.txt"
    path = name.format(folder=folder, quoted=quote(away, safe=""), twice=quote(quote(away, safe=""), safe=""))
    for prefix in ("/gradio_api/file=", "/file=", "/gradio_api/file/"):
        status, _, text = ask(Gate(page, folder), prefix + path)
        assert status == 403
        assert "secret" not in text


def test_other_servers_files_and_gradios_tools_are_closed(folder: Path) -> None:
    for path in ("/gradio_api/proxy=https://example.org", "/monitoring", "/gradio_api/mcp/sse", "/gradio_api/dev/x"):
        assert ask(Gate(page, folder), path)[0] == 403


def test_a_token_is_asked_for_and_kept_in_a_cookie(folder: Path) -> None:
    gate = Gate(page, folder, token="correct horse battery")
    status, _, text = ask(gate, "/gradio_api/upload", method="POST")
    assert status == 401
    assert '<label for="token">' in text
    assert text != "page"
    assert "not the token" in ask(gate, "/", query="token=wrong")[2]
    status, headers, _ = ask(gate, "/", query="token=correct%20horse%20battery")
    assert (status, headers["location"]) == (303, "./")
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=Strict" in headers["set-cookie"]
    cookie = headers["set-cookie"].split(";")[0]
    assert cookie.startswith(COOKIE)
    assert ask(gate, "/", headers=[("cookie", cookie)])[0] == 200
    assert ask(gate, "/", headers=[("cookie", f"{COOKIE}=other")])[0] == 401
    assert ask(gate, "/gradio_api/info", query="token=correct%20horse%20battery")[0] == 401


def test_a_page_answers_only_to_its_own_names(folder: Path) -> None:
    gate = Gate(page, folder, hosts=frozenset({"127.0.0.1", "::1"}))
    assert ask(gate, "/", headers=[("host", "127.0.0.1:7860")])[0] == 200
    assert ask(gate, "/", headers=[("host", "[::1]:7860")])[0] == 200
    assert ask(gate, "/", headers=[("host", "evil.example:7860")])[0] == 403
    assert ask(gate, "/")[0] == 403


def test_bodies_are_bounded_whatever_their_header_says(folder: Path) -> None:
    gate = Gate(page, folder, upload_bytes=1000)
    upload = "/gradio_api/upload"
    assert ask(gate, upload, method="POST", body=[b"x" * 900])[0] == 200
    assert ask(gate, upload, method="POST", headers=[("content-length", "999999999")])[0] == 413
    assert ask(gate, upload, method="POST", headers=[("content-length", "-1")])[0] == 413
    assert ask(gate, upload, method="POST", body=[b"x" * 150_000] * 3)[0] == 413
    assert ask(gate, "/gradio_api/queue/join", method="POST", body=[b"x" * 3_000_000] * 2)[0] == 413


def test_a_full_disk_takes_no_uploads(folder: Path) -> None:
    gate = Gate(page, folder, is_full=lambda: True)
    assert ask(gate, "/gradio_api/upload", method="POST")[0] == 507
    assert ask(gate, "/")[0] == 200


def test_a_link_names_its_download(folder: Path) -> None:
    assert ask(Gate(page, folder), "/")[1]["content-disposition"] == "attachment"


def test_answers_say_not_to_guess_types(folder: Path) -> None:
    assert ask(Gate(page, folder), "/")[1]["x-content-type-options"] == "nosniff"
