"""Lines of `vczoo list` for a terminal: whole names, and a summary cut to the width. Imports no torch."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import get_args

from vczoo.errors import VczooError
from vczoo.registry.entry import Kind

__all__ = ["as_pattern", "part_lines", "recipe_lines", "split_kind"]

DOWNLOAD_COLUMNS = 8
LONGEST_NAME = 40  # longer names push their own summary to the right
SHORTEST_SUMMARY = 20


def recipe_lines(rows: Sequence[dict[str, str]], width: int) -> list[str]:
    """Return the lines of a list of recipes, in groups with headings.

    Args:
        rows: Rows of `vczoo.cli.listing.recipe_rows`, sorted by group.
        width: Columns of the terminal.
    """
    names = _name_columns([row["recipe"] for row in rows])
    lines: list[str] = []
    for group, members in groupby(rows, key=lambda row: row["group"]):
        lines += [*[""] * bool(lines), group]
        lines += [_line(row["recipe"], names, row["download"], _about(row), width) for row in members]
    return [*lines, "", "download: of pretrained weights, at first use. `vczoo show NAME` shows a recipe."]


def part_lines(rows: Sequence[dict[str, str]], width: int) -> list[str]:
    """Return the lines of a list of parts.

    Args:
        rows: Rows of `vczoo.cli.listing.part_rows`.
        width: Columns of the terminal.
    """
    names = _name_columns([row["part"] for row in rows])
    lines = [_line(row["part"], names, row["download"], row["what"], width) for row in rows]
    return [*lines, "", "download: of the first pretrained weights. `vczoo show NAME` describes a part."]


def as_pattern(text: str) -> str:
    """Return a shell pattern for the names that contain a text; a pattern stays as it is."""
    return text if set(text) & set("*?[") else f"*{text}*"


def split_kind(words: Sequence[str]) -> tuple[str, list[str]]:
    """Split words into the kind of parts and the rest. The kind comes first, or after a pattern.

    Args:
        words: At least one word.

    Raises:
        VczooError: There are several words, and none is a kind.
    """
    kinds = (*get_args(Kind), "all")
    kind = next((word for word in words if word in kinds), "")
    if not kind and len(words) > 1:
        raise VczooError(f"{' '.join(words)}: no kind of part among them; kinds are {', '.join(kinds)}")
    rest = list(words)
    rest.remove(kind or words[0])
    return kind or words[0], rest


def _about(row: dict[str, str]) -> str:
    """The first clause of a summary, after the plugins that are missing."""
    needs = f"needs {row['needs']}: " if "(" in row["needs"] else ""
    return needs + (row["summary"].partition(";")[0] or row["made of"])


def _name_columns(names: Sequence[str]) -> int:
    return max(len(name) for name in names if len(name) <= LONGEST_NAME or name == min(names, key=len))


def _line(name: str, names: int, download: str, about: str, width: int) -> str:
    start = f"  {name:<{names}}  {download:>{DOWNLOAD_COLUMNS - 1}}  "
    room = max(SHORTEST_SUMMARY, width - len(start))
    first, *more = textwrap.wrap(about, room - 2, break_on_hyphens=False) if len(about) > room else [about]
    return start + (first.rstrip(",") + " …" if more else first)
