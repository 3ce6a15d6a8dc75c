"""Gate in front of a served page: its token, its host, what files it serves, and how much it takes in.

A plain ASGI middleware, so that no route of the page can be reached without it.
"""

from __future__ import annotations

import hmac
import html
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

__all__ = ["COOKIE", "Gate"]

COOKIE = "vczoo-token"
LARGEST_BODY = 4_000_000  # bytes of a request that is not an upload
FORM_BYTES = 200_000  # around an upload: the headers of its parts
# What gradio serves beside the page itself and this page has no use for: other servers' files, and its own tools.
UNUSED = ("/proxy=", "/file=http:", "/file=https:", "/file/http:", "/file/https:", "/monitoring", "/deep_link")
# Gradio asks its own server for this when it starts, without a cookie; the answer is only whether it has started.
STARTUP = "/gradio_api/startup-events"
UNUSED_PREFIXES = ("/mcp", "/dev/", "/vibe")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class TooLargeError(Exception):
    """A request's body is larger than allowed."""


class Gate:
    """Refuses requests that are not allowed, before the page sees them.

    Args:
        app: The page.
        folder: The working folder, the only one that files are served from.
        token: What visitors must know; "" for a page that only this machine can reach.
        hosts: Names by which the page may be called; empty for any. For a page on this machine it keeps out other
            websites whose names point here (DNS rebinding).
        upload_bytes: The largest upload.
        is_full: Returns whether the working folder takes no more uploads.
    """

    def __init__(
        self,
        app: App,
        folder: Path,
        token: str = "",
        hosts: frozenset[str] = frozenset(),
        upload_bytes: int = LARGEST_BODY,
        is_full: Callable[[], bool] = lambda: False,
    ) -> None:
        self.app, self.folder, self.token, self.hosts = app, folder.resolve(), token, hosts
        self.upload_bytes, self.is_full = upload_bytes, is_full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["type"] == "websocket":  # the page has none
            await send({"type": "websocket.close", "code": 1008})
            return
        path = unquote(scope["path"])
        if self.hosts and _host(headers.get("host", "")) not in self.hosts:
            await _answer(send, 403, "This page answers only to its own address.")
        elif self.token and path != STARTUP and not self._knows(headers):
            await self._ask(scope, send)
        elif not self._may_serve(path):
            await _answer(send, 403, "This page has no such file.")
        else:
            await self._bounded(path, headers, scope, receive, send)

    def _knows(self, headers: dict[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.token.encode())

    async def _ask(self, scope: Scope, send: Send) -> None:
        """Take the token from the address (?token=…) into a cookie, or ask for it."""
        offered = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and offered and self._is_token(offered):
            cookie = SimpleCookie({COOKIE: self.token})
            for name, value in (("httponly", "1"), ("samesite", "Strict"), ("path", "/")):
                cookie[COOKIE][name] = value
            headers = [(b"location", b"./"), (b"set-cookie", cookie[COOKIE].OutputString().encode())]
            await _answer(send, 303, "", headers=headers)
            return
        wrong = "<p role='alert'>That is not the token.</p>" if offered else ""
        await _answer(send, 401, FORM.replace("{wrong}", wrong), kind="text/html; charset=utf-8")

    def _may_serve(self, path: str) -> bool:
        """Whether a path is not that of a file outside the working folder."""
        route = path.removeprefix("/gradio_api")
        if route.startswith(UNUSED_PREFIXES) or any(route.startswith(unused) for unused in UNUSED):
            return False
        for mark in ("/file=", "/file/"):
            if route.startswith(mark):
                # As often as it may be decoded after this, so that no escape gets past.
                name = route.removeprefix(mark)
                while (plain := unquote(name)) != name:
                    name = plain
                if "\0" in name or not Path(name).is_absolute():
                    return False
                return Path(name).resolve().is_relative_to(self.folder)
        return True

    async def _bounded(self, path: str, headers: dict[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and stop it if its body becomes too large."""
        upload = path.removeprefix("/gradio_api").startswith("/upload") and scope["method"] == "POST"
        if upload and self.is_full():
            await _answer(send, 507, "The server's space for recordings is used up; try again later.")
            return
        most = self.upload_bytes + FORM_BYTES if upload else LARGEST_BODY
        too_large = f"This is too large: at most {self.upload_bytes / 1e6:.0f} MB are accepted."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            await _answer(send, 413, too_large)
            return
        count, started = 0, False

        async def counted() -> Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > most:
                raise TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*map(_unnamed, message.get("headers", [])), *SAFE]}
            await send(message)

        try:
            await self.app(scope, counted, noted)
        except TooLargeError:
            if not started:
                await _answer(send, 413, too_large)


SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)
FORM = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>vczoo: token</title>
<body style="font: 1.1rem system-ui; max-width: 30rem; margin: 3rem auto; padding: 0 1rem">
<h1>vczoo</h1>{wrong}<form method="get" action="./"><p><label for="token">Token of this page</label></p>
<p><input id="token" name="token" type="password" required autofocus style="font: inherit; width: 100%"></p>
<p><button style="font: inherit; padding: .5rem 1rem">Open</button></p></form></body></html>"""


def _unnamed(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """A header without the name of a file: it would replace the one that a link gives to its download."""
    name, value = header
    return (name, value.split(b";")[0]) if name.lower() == b"content-disposition" else (name, value)


def _host(header: str) -> str:
    """The name or address in a Host header, without its port."""
    name, colon, port = header.rpartition(":")
    return (name if colon and port.isdecimal() else header).strip("[]").lower()


async def _answer(
    send: Send,
    status: int,
    text: str,
    *,
    kind: str = "text/plain; charset=utf-8",
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    body = (text if kind.startswith("text/html") else html.escape(text, quote=False)).encode()
    start = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *SAFE, *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
