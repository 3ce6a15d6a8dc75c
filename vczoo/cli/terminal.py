"""What commands share: names and settings off a command line in; rows and lines for people, or programs, out."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.table import Table

from vczoo.cli.launch import leads
from vczoo.io.deprecation import VczooDeprecationWarning
from vczoo.io.files import is_folder_with

__all__ = ["Overrides", "as_run", "print_deprecations", "print_line", "print_table"]

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change: training.epochs=3")
]


def as_run(name: str) -> str | Path:
    """On the command line an existing run's folder needs no ./ before it."""
    return Path(name) if is_folder_with(Path(name), "vczoo.yaml") else name


def print_table(rows: list[dict[str, str]]) -> None:
    """Print rows, at least one, under the names of their columns."""
    console = Console(markup=False, emoji=False)  # names may be anybody's
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="fold", no_wrap=not console.is_terminal)
    for row in rows:
        table.add_row(*(_harmless(value) for value in row.values()))
    if not console.is_terminal:  # for other programs: whole lines, however long
        longest = [max(len(_harmless(text)) for text in (name, *(row[name] for row in rows))) for name in rows[0]]
        width = max(80, sum(longest) + 2 * len(longest) + 80)
        console = Console(width=width, markup=False, emoji=False)
    console.print(table, highlight=False)


def print_line(text: str, *, to_stderr: bool = False) -> None:
    """Print text that ends with one line break."""
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(_harmless(text.rstrip("\n"), "\n\t") + "\n")


def print_deprecations() -> None:
    """Print, from now on, what is deprecated as one line on standard error: the line of code would be vczoo's own."""
    show = warnings.showwarning

    def show_line(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, VczooDeprecationWarning):
            show(message, category, filename, lineno, file, line)
        elif leads():
            print_line(f"warning: {message}", to_stderr=True)

    warnings.showwarning = show_line


def _harmless(text: str, kept: str = "") -> str:
    """Text whose characters all print: others would steer the terminal, and some of it comes from elsewhere."""
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)
