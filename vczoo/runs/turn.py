"""Turns at changing a run folder: one process and one thread at a time loads, changes and saves it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vczoo.io.lock import held

__all__ = ["changing"]

LOCK = ".change-lock"

_turns = threading.local()


def _wait_silently(message: str) -> None: ...


@contextmanager
def changing(folder: Path, waiting: Callable[[str], None] = _wait_silently) -> Iterator[None]:
    """Wait until nobody else changes a run, then keep others from changing it. Reading it needs no turn.

    A thread may enter the context of one folder again.

    Args:
        folder: The folder of the run, which is created if it does not exist.
        waiting: Called once with a message if another process or thread is changing the run.

    Raises:
        RunError: The folder cannot be written.
    """
    folders: set[str] = _turns.__dict__.setdefault("folders", set())
    place = os.path.realpath(folder)
    if place in folders:
        yield
        return
    with held(folder / LOCK, what="another command changes this run", waiting=waiting):
        folders.add(place)
        try:
            yield
        finally:
            folders.discard(place)
