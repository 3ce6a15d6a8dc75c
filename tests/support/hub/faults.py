"""Faults that a test orders from the test Hub. In: which requests, how often, and what goes wrong; out: the next fault.

hub.faults.add(Fault("GET", "*/model.safetensors", cut_after=1000))                  # once: the line goes dead
hub.faults.add(Fault("POST", "*/commit/*", status=503, done=True))                   # committed, but who knows?
hub.faults.add(Fault("POST", "*/commit/*", before=lambda: hub.put("me/a", {...})))   # somebody else was faster
"""

from __future__ import annotations

import fnmatch
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote


def flipped(data: bytes) -> bytes:
    """As many bytes, all of them wrong."""
    return bytes(byte ^ 0xFF for byte in data)


def matches(method: str, path: str, wanted_method: str, wanted_path: str | re.Pattern[str]) -> bool:
    """Whether a request is meant: "*" for any method; for the path, without its query and decoded, a pattern."""
    path = unquote(path.partition("?")[0])
    right = wanted_path.search(path) if isinstance(wanted_path, re.Pattern) else fnmatch.fnmatchcase(path, wanted_path)
    return wanted_method in ("*", method) and bool(right)


@dataclass
class Fault:
    """What goes wrong with the next `times` requests (None: with all of them) of a method to a path.

    At the request: `before` is called; `status`, with `headers` and `message`, is answered instead of doing what was
    asked, or after it where `done`; `drop` closes the connection without an answer, instead or, where `done`, after.

    In the body of a file or of a listing, for answers that have one: `change` makes other bytes of it,
    `delay_seconds` passes before every `chunk_bytes`, and after `cut_after` bytes the connection is closed.
    """

    method: str = "*"
    path: str | re.Pattern[str] = "*"
    times: int | None = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "a fault was ordered"
    done: bool = False
    drop: bool = False
    before: Callable[[], object] | None = None
    change: Callable[[bytes], bytes] | None = None
    cut_after: int | None = None
    delay_seconds: float = 0.0
    chunk_bytes: int = 64 * 1024
    hits: int = 0

    @property
    def in_body(self) -> bool:
        """Whether it waits for an answer with a body."""
        return self.change is not None or self.cut_after is not None or self.delay_seconds > 0

    @property
    def left(self) -> bool:
        return self.times is None or self.hits < self.times


class Faults:
    """The orders in force, in the order in which they came. Safe between threads."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Order a fault; `fault.hits` counts how often it struck.

        Raises:
            ValueError: it has a part for the request and one for the body (order two), or neither.
        """
        at_request = fault.status is not None or fault.drop or fault.before is not None
        if at_request == fault.in_body:
            raise ValueError("a fault is either status, drop or before, or change, cut_after or delay_seconds")
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Nothing goes wrong from here on."""
        with self._lock:
            self._faults.clear()

    def take(self, method: str, path: str, *, in_body: bool) -> Fault | None:
        """The first order that means this request, counted as struck."""
        with self._lock:
            for fault in self._faults:
                if fault.left and fault.in_body == in_body and matches(method, path, fault.method, fault.path):
                    fault.hits += 1
                    return fault
        return None
