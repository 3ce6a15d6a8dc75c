"""Text for messages: nearest names and short lists."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["nearest", "truncated_list"]

LONGEST_NAME = 200  # characters; what is longer is like no name


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """End a sentence with the known names close to `name`: "; did you mean 'a' or 'b'?", or a full stop."""
    if len(name) > LONGEST_NAME:
        return "."
    names = sorted(set(known))
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=limit, cutoff=0.5)
    if not close:
        return "."
    return "; did you mean " + " or ".join(repr(lowered[match]) for match in close) + "?"


SHOWN = 10  # lines of one report; the rest are counted


def truncated_list(lines: Sequence[str]) -> list[str]:
    """The first lines of a long report, and how many more there are."""
    return [*lines[:SHOWN], *([f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else [])]
