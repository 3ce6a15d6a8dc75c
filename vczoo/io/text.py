"""Text for messages: nearest names, lists cut to a few lines, and names from outside without control characters."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["bulleted", "counted", "harmless", "is_invisible", "nearest", "truncated_list"]

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


def bulleted(title: str, lines: Sequence[str], shown: int | None = None) -> str:
    """A title, and the lines of a report below it; of a long one, the first `shown` and the number of further lines."""
    return "\n  - ".join([f"{title}:", *(lines if shown is None else truncated_list(lines, shown))])


def counted(number: int, noun: str) -> str:
    """A number of things, such as "1 fault" or "2,000 faults"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


_JOINERS = "\u200c\u200d"  # invisible, but needed to spell words in Persian and Hindi and many emoji
_INVISIBLE = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # controls, direction overrides, lone surrogates and the like


def is_invisible(character: str) -> bool:
    """Whether a character does not print, or changes how the text around it is shown. Spaces print."""
    return not (character.isascii() and character.isprintable()) and (
        unicodedata.category(character) in _INVISIBLE and character not in _JOINERS
    )


def harmless(text: str | os.PathLike[str], allowed: str = "") -> str:
    """Escape what does not print in text for a terminal, a plot or a log, since it may come from outside.

    A name of a file could otherwise hold sequences that control the terminal, or pretend to be another line.

    Args:
        text: Text to show, or a path.
        allowed: Characters that stay although they do not print, such as line breaks.
    """
    text = os.fspath(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if is_invisible(c) and c not in allowed else c for c in text)
