"""Network guard, which blocks and records network access through Python's audit events. Does not import torch."""

from __future__ import annotations

import sys
from typing import Any, Self

__all__ = ["NetworkWatch"]

EVENTS = {
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyaddr",
    "socket.gethostbyname",
    "socket.sendmsg",
    "socket.sendto",
}
LOCAL = "AF_UNIX"

_watching: list[NetworkWatch] = []
_installed = False  # an audit hook cannot be removed, so there is only one, which does nothing outside of a watch


class NetworkWatch:
    """Context manager in which looking up or connecting to a host fails, in every thread, and is recorded.

    Attributes:
        contacts: The attempts, each as the audit event and its arguments.
    """

    def __init__(self) -> None:
        self.contacts: list[str] = []

    def __enter__(self) -> Self:
        global _installed
        if not _installed:
            sys.addaudithook(_hook)
            _installed = True
        _watching.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _watching.remove(self)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching or event not in EVENTS:
        return
    if getattr(getattr(arguments[0], "family", None), "name", "") == LOCAL:
        return
    values = ", ".join(str(argument) for argument in arguments if isinstance(argument, str | bytes | int | tuple))
    for watch in _watching:
        watch.contacts.append(f"{event}({values})")
    raise OSError(f"{event}({values}): blocked, since a part with random weights needs no network")
