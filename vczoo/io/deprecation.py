"""What is old, and what replaces it, in; a warning at the line that uses it, out. No torch here.

    warn_deprecated("finetune's argument `lr`", "`overrides`", since="0.3", until="0.5")  # in the function's body
    RENAMED["vczoo.tune"] = Renamed("finetune", since="0.3", until="0.5")                 # of a public name

The old way works until the version that the warning names.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from types import FrameType

__all__ = ["RENAMED", "Renamed", "VczooDeprecationWarning", "name_of_today", "warn_at_caller", "warn_deprecated"]

_INSIDE = ("vczoo", "importlib")  # whose lines are not the caller's; plugins' packages are others


class VczooDeprecationWarning(FutureWarning):
    """Something of vczoo's that will go; the message says what replaces it, and from which version on it is gone.

    Everybody sees it: it is a FutureWarning, since Python shows a DeprecationWarning only where a script itself uses
    what is old, and neither to who runs a module that does, nor on the command line.
    """


@dataclass(frozen=True)
class Renamed:
    """A public name that is another now.

    Attributes:
        today: the name in the same module.
        since: the version of vczoo that renamed it.
        until: the version in which the old name is gone.
    """

    today: str
    since: str
    until: str


# Public names that are others now: "vczoo.old" or "vczoo.testing.old". None yet.
RENAMED: dict[str, Renamed] = {}


def name_of_today(module: str, name: str) -> str:
    """The name that a module's old one is called now, with a warning; "" where there never was such a name."""
    if (renamed := RENAMED.get(f"{module}.{name}")) is None:
        return ""
    warn_deprecated(f"{module}.{name}", f"{module}.{renamed.today}", since=renamed.since, until=renamed.until)
    return renamed.today


def warn_deprecated(old: str, replacement: str, *, since: str, until: str) -> None:
    """Warn at the caller's line that `old` will go.

    Args:
        old: what is used, as a user calls it.
        replacement: what to use.
        since: the version of vczoo that has the replacement.
        until: the version in which the old is gone.
    """
    warn_at_caller(f"{old} is deprecated since vczoo {since} and will be gone in {until}; use {replacement}")


def warn_at_caller(message: str) -> None:
    """Warn at the line outside vczoo that called into it, however many of vczoo's own calls lie between."""
    frame: FrameType | None = sys._getframe()
    while frame and frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] in _INSIDE:
        frame = frame.f_back
    assert frame is not None
    warnings.warn_explicit(
        message,
        VczooDeprecationWarning,
        filename=frame.f_code.co_filename,
        lineno=frame.f_lineno,
        module=str(frame.f_globals.get("__name__")),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )
