"""Status line on standard error: what is being done before a progress bar can count it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vczoo.io.console import progress_console
from vczoo.io.log import is_quiet, logger

__all__ = ["status"]


@contextmanager
def status(text: str, *, shown: bool = True) -> Iterator[None]:
    """Log what is being done and, on a terminal, show it with a spinner until it is done.

    Args:
        text: What is being done, as "decoding the recordings".
        shown: Whether to show it. It is logged either way.
    """
    logger.info("%s", text)
    console = progress_console()
    if not shown or is_quiet() or not console.is_terminal:
        yield
        return
    with console.status(f"{text} …"):
        yield
