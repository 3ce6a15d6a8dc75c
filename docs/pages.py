"""A hook of the site's builder: some pages are made while it builds, so that they cannot be out of date.

The command line's gets a table for each command, read from the commands themselves; the changelog's, CHANGELOG.md. Each
tutorial notebook becomes a page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File

from vczoo.cli.app import app
from vczoo.cli.help import help_record

CHANGELOG = Path(__file__).resolve().parents[1] / "CHANGELOG.md"


def on_files(files: Any, *, config: Any) -> Any:
    """Add a page for each notebook; MkDocs calls this when it has listed the files."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        uri = f"{file.src_uri.removesuffix('.ipynb')}-notebook.md"
        files.append(File.generated(config, uri, content=notebook_page(Path(file.abs_src_path))))
    return files


def notebook_page(path: Path) -> str:
    """Markdown of a notebook, with a link to the file below its title."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    code = [cell["cell_type"] == "code" for cell in cells]
    blocks = [f"```python\n{text}\n```" if is_code else text for text, is_code in zip(texts, code, strict=True)]
    title, _, rest = blocks[0].partition("\n\n")
    return "\n\n".join([title, f"[Download this notebook]({path.name}).", rest, *blocks[1:]])


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
