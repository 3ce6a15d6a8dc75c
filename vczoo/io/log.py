"""The logger `vczoo`. As a library's logger it is silent unless the application configures logging.

A level above WARNING also turns progress bars off.
"""

from __future__ import annotations

import logging

__all__ = ["is_quiet", "logger"]

logger = logging.getLogger("vczoo")
logger.addHandler(logging.NullHandler())


def is_quiet() -> bool:
    """Whether not even warnings are to be logged. Progress bars are not drawn then, either."""
    return not logger.isEnabledFor(logging.WARNING)
