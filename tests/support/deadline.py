"""Deadline for waits on other processes, which are killed after it, so that the wait ends with an error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

__all__ = ["browser_processes", "killed_after"]


@contextmanager
def killed_after(seconds: float, processes: Callable[[], list[psutil.Process]]) -> Iterator[None]:
    """Kill processes if the block takes too long. What waits for them then raises an error of its own.

    Args:
        seconds: The longest that the block may take: a guard against waiting forever, so many times what it needs.
        processes: Called after that time; returns what to kill.

    Raises:
        AssertionError: At the end of the block, if it took too long.
    """
    late = threading.Event()

    def kill() -> None:
        late.set()
        for process in processes():
            with suppress(psutil.Error):
                process.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if late.is_set():
            raise AssertionError(f"nothing happened within {seconds:.0f} s, so the processes were killed")


def browser_processes() -> list[psutil.Process]:
    """The driver of Playwright that this process started, and the browser that the driver started."""
    listed: list[psutil.Process] = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if "run-driver" in child.cmdline():
                listed += [child, *child.children(recursive=True)]
    return listed
