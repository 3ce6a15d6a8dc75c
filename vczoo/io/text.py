"""Text for messages: nearest names, and lists cut to a few lines."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["nearest", "truncated_list"]

LONGEST_NAME = 200  # characters; nothing is suggested for longer names


def nearest(name: str, valid: Iterable[str], *, limit: int = 3) -> str:
    """The end of a sentence that suggests valid names close to `name`: "; did you mean 'a' or 'b'?", or a full stop.

    Args:
        name: The name that was not found.
        valid: The names to choose from.
        limit: The most names to suggest.
    """
    if len(name) > LONGEST_NAME:
        return "."
    names = sorted(set(valid))
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=limit, cutoff=0.5)
    if not close:
        return "."
    return "; did you mean " + " or ".join(repr(lowered[match]) for match in close) + "?"


SHOWN = 10  # lines of one report; the others are only counted


def truncated_list(lines: Sequence[str], shown: int = SHOWN) -> list[str]:
    """The first `shown` lines of a long report, and the number of further lines."""
    return [*lines[:shown], *([f"and {len(lines) - shown} more"] if len(lines) > shown else [])]
