"""A small Hugging Face Hub on this machine, for tests and benchmarks. In: HTTP; out: HTTP, and the state to look at.

    with HubServer() as hub:                                      # hub.endpoint == "http://127.0.0.1:PORT"
        hub.add_user("me", token="hf_me")
        oid = hub.put("me/alice", {"README.md": b"..."})          # a commit, without HTTP
        hub.repo("me/alice").head.files                           # {path: content}; .commits, .refs, .private ...
        hub.faults.add(Fault("GET", "*/model.safetensors", cut_after=100))
        hub.seen("GET", "*/resolve/*")                            # what came in

`client.py` points `huggingface_hub` at it. The large files are served from a second port, so that they are from
another origin: without the client's token and with an ETag of their own, as the real Hub's are. What the Hub answers
is in `api.py`, `files.py` and `listing.py`, what it keeps in `store.py`, what can go wrong in
`faults.py`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from tests.support.hub import files as _files  # noqa: F401  it registers its routes
from tests.support.hub import listing as _listing  # noqa: F401
from tests.support.hub.api import Answer, Hub, Request
from tests.support.hub.faults import Fault, Faults, matches
from tests.support.hub.store import Gated, HubError, Repo, User, blobs_of

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Seen(NamedTuple):
    """A request: its path as sent, with its query; `status` is 0 where it got no answer; headers in lower case."""

    method: str
    path: str
    status: int
    headers: dict[str, str]


class HubServer:
    """The Hub, from `with` to its end. Its state may be read and changed at any time.

    `api` has the settings (`page_entries`, `part_bytes`) and all repositories and users.

    Raises:
        Exception: at the end of `with`, what a request or a fault's `before` raised that the Hub did not mean to.
    """

    def __init__(self) -> None:
        self.api = Hub()
        self.faults = Faults()
        self.requests: list[Seen] = []
        self.crashes: list[BaseException] = []
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self._listeners: list[_Listener] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> HubServer:
        self._listeners = [_Listener(self), _Listener(self)]
        self.api.endpoint, self.api.storage = (listener.origin for listener in self._listeners)
        for listener in self._listeners:
            thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.closing.set()
        for listener in self._listeners:
            listener.stop()
        for thread in self._threads:
            thread.join()
        if self.crashes and error is None:
            raise self.crashes[0]

    @property
    def endpoint(self) -> str:
        return self.api.endpoint

    def add_user(self, name: str, token: str, role: str = "write", orgs: tuple[str, ...] = ()) -> User:
        """Let a token be somebody's."""
        self.api.users[token] = user = User(name, token, role, orgs)
        return user

    def expire(self, token: str) -> None:
        """Refuse a token from here on, as one that was good once."""
        self.api.users[token] = replace(self.api.users[token], expired=True)

    def repo(self, name: str) -> Repo:
        """The state of a repository.

        Raises:
            KeyError: there is none of that name.
        """
        return self.api.repos[name]

    def put(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        message: str = "Add files",
        private: bool | None = None,
        gated: Gated | None = None,
        branch: str = "main",
        delete: tuple[str, ...] = (),
    ) -> str:
        """Commit files straight into a repository, which is made if need be; the commit's id."""
        with self.lock:
            repo = self.api.repos.get(name) or self.api.repos.setdefault(name, Repo(name))
            repo.private = repo.private if private is None else private
            repo.gated = repo.gated if gated is None else gated
            return repo.commit(message, blobs_of(files), delete, branch=branch).oid

    def seen(self, method: str = "*", path: str | re.Pattern[str] = "*") -> list[Seen]:
        """The requests so far of a method to a path (a pattern for the path without its query, as for a fault)."""
        return [seen for seen in list(self.requests) if matches(seen.method, seen.path, method, path)]

    def answer(self, request: Request) -> Answer | None:
        """What to send back, with what was ordered to go wrong; None to close the connection without a word."""
        fault = self.faults.take(request.method, request.path, in_body=False)
        answer = None
        try:
            if fault and fault.before:
                fault.before()
            if fault is None or fault.done or not (fault.drop or fault.status):
                with self.lock:
                    answer = self.api.handle(request)
        except HubError as error:
            answer = Answer.refusal(error)
        except Exception as error:  # a fault of the test or of this server: told at the end, where no client hides it
            self.crashes.append(error)
            answer = Answer.refusal(HubError(500, f"the test's Hub crashed: {error!r}"))
        if fault and fault.drop:
            return None
        if fault and fault.status:
            answer = Answer.refusal(HubError(fault.status, fault.message))
            answer.headers |= fault.headers
        return answer


class _Listener(ThreadingHTTPServer):
    """One port. It knows its connections, to end them."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, hub: HubServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.hub.crashes.append(error)

    def stop(self) -> None:
        self.shutdown()
        for connection in list(self._open):
            _hang_up(connection)
        self.server_close()  # and waits for the connections' threads


class _Handler(BaseHTTPRequestHandler):
    """One connection, which the client keeps for many requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def serve(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, parse_qs(query, keep_blank_values=True), headers, self._read_body())
        hub = self.server.hub
        answer = hub.answer(request)
        if answer is not None and answer.content and "range" in headers:
            answer = _part(answer, headers["range"])
        hub.requests.append(Seen(self.command, self.path, answer.status if answer else 0, headers))
        if answer is None:
            self._hang_up()
            return
        fault = None
        if self.command != "HEAD" and answer.body and answer.status in (200, 206):
            fault = hub.faults.take(self.command, path, in_body=True)
        self._send(answer, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve  # noqa: N815  named by the library

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self._read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _read(self, count: int) -> bytes:
        data = self.rfile.read(count)
        if len(data) < count:  # half a request is none
            raise ConnectionError("the client went away")
        return data

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        body = fault.change(answer.body) if fault and fault.change else answer.body
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/octet-stream", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is None:
            self.wfile.write(body)
            return
        end = len(body) if fault.cut_after is None else fault.cut_after
        for start in range(0, min(end, len(body)), fault.chunk_bytes):
            if self.server.hub.closing.wait(fault.delay_seconds):
                end = start
                break
            self.wfile.write(body[start : min(start + fault.chunk_bytes, end)])
        if end < len(body):
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        _hang_up(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  named by the library
        """Say nothing: `HubServer.requests` has it all."""


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client was faster
        connection.shutdown(socket.SHUT_RDWR)


def _part(answer: Answer, wanted: str) -> Answer:
    """The bytes of a file that a Range header asks for."""
    match, size = _RANGE.fullmatch(wanted), len(answer.body)
    if match is None or match[0] == "bytes=-":
        return answer  # a server may ignore what it does not know
    if match[1]:
        start, stop = int(match[1]), min(int(match[2] or size - 1), size - 1) + 1
    else:
        start, stop = max(size - int(match[2]), 0), size
    if start >= stop:
        return Answer(b"", 416, {**answer.headers, "Content-Range": f"bytes */{size}"})
    headers = {**answer.headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return Answer(answer.body[start:stop], 206, headers)
