"""`NetworkWatch`: what a block of code asked of the network, through Python's audit events. No torch here."""

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
_installed = False  # an audit hook stays for as long as the process: there is one, and it is idle but in a watch


class NetworkWatch:
    """While it lasts, looking up or connecting to a host fails, in every thread of this process, and is noted.

    Attributes:
        contacts: what was asked for.
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
    asked = ", ".join(str(argument) for argument in arguments if isinstance(argument, str | bytes | int | tuple))
    for watch in _watching:
        watch.contacts.append(f"{event}({asked})")
    raise OSError(f"{event}({asked}): a part with random weights needs no network")
