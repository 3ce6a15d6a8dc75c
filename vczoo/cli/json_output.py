"""Results and errors of a command as JSON, for programs: the option --json."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from vczoo.cli.terminal import print_line

__all__ = ["Json", "as_records", "json_requested", "print_json", "print_json_error"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def json_requested() -> bool:
    """Whether the command line has --json. It is read before the command line is parsed, which may fail."""
    words = sys.argv[1:]
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON. What JSON lacks becomes null (NaN, infinity) or text (paths)."""
    print_line(json.dumps(_plain(value), indent=indent, allow_nan=False))


def as_records(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The rows of a table with keys that are names: `made of` becomes `made_of`."""
    return [{key.replace(" ", "_"): value for key, value in row.items()} for row in rows]


def print_json_error(kind: str, message: str, status: int) -> None:
    """Print an error as JSON on standard output: `{"error": {"type": …, "message": …, "status": …}}`."""
    print_json({"error": {"type": kind, "message": message, "status": status}})


def _plain(value: Any) -> Any:
    """The value with types of JSON alone."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    return str(value)
