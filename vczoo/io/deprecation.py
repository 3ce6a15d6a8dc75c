"""Deprecation warnings, shown at the line of the caller outside vczoo. Imports no torch."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

__all__ = ["VczooDeprecationWarning", "warn_at_caller"]

_INTERNAL = ("vczoo", "importlib")  # packages whose lines are not the caller's; plugins are packages of their own


class VczooDeprecationWarning(FutureWarning):
    """A part of vczoo's API that will be removed. The message names the replacement and the version of the removal.

    It is a FutureWarning so that every user sees it: by default, Python shows a DeprecationWarning only if the main
    script itself triggers it.
    """


def warn_at_caller(message: str, category: type[Warning] = VczooDeprecationWarning) -> None:
    """Warn at the innermost line outside vczoo that led to this call."""
    frame: FrameType | None = sys._getframe()
    while frame and frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] in _INTERNAL:
        frame = frame.f_back
    assert frame is not None
    warnings.warn_explicit(
        message,
        category,
        filename=frame.f_code.co_filename,
        lineno=frame.f_lineno,
        module=str(frame.f_globals.get("__name__")),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )
