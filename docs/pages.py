"""A hook of the site's builder: two pages are filled in while it builds, so that they cannot be out of date.

The command line's gets a table for each command, read from the commands themselves; the changelog's, CHANGELOG.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from vczoo.cli.app import app
from vczoo.cli.help import help_record

CHANGELOG = Path(__file__).resolve().parents[1] / "CHANGELOG.md"


def on_page_markdown(markdown: str, *, page: Any, **rest: Any) -> str:
    """Fill a page in; MkDocs calls this for every page."""
    if page.file.src_uri == "reference/cli.md":
        return markdown.replace("<!-- commands -->", commands())
    if page.file.src_uri == "changelog.md":
        return CHANGELOG.read_text(encoding="utf-8").replace("](docs/", "](")
    return markdown


def commands() -> str:
    """Markdown of every command: how it is called, what it does, its arguments and options."""
    root = typer.main.get_command(app)
    return "\n\n".join(_section(typer.Context(root, info_name="vczoo")))


def _section(context: Any) -> Iterator[str]:
    """A command, then those below it."""
    command = context.command
    below = getattr(command, "commands", {})
    if context.parent:
        yield f"## {context.command_path}"
        yield f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```"
        yield (command.help or "").replace("\n\n", " ")
        if command.epilog:
            yield f"```text\n{command.epilog.splitlines()[-1].strip()}\n```"
        records = [record for part in command.params if (record := help_record(part, context))]
        if records:
            rows = [f"| `{names.replace('|', chr(92) + '|')}` | {_cell(meaning)} |" for names, meaning in records]
            yield "\n".join(["| argument or option | meaning |", "|---|---|", *rows])
    for name, sub in below.items():
        yield from _section(typer.Context(sub, info_name=name, parent=context))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
