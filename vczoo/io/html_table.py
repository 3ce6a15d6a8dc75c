"""HTML tables of plain values, for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from vczoo.io.text import harmless

__all__ = ["html_table"]


def html_table(rows: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()) -> str:
    """Return an HTML table, with the keys of the first row as headings. Nothing in it is read as HTML.

    Args:
        rows: Rows with the same keys. Values are written as text.
        notes: Lines under the table.
    """
    heading = "".join(f"<th>{_text(name)}</th>" for name in (rows[0] if rows else ()))
    body = "".join(f"<tr>{''.join(f'<td>{_text(value)}</td>' for value in row.values())}</tr>" for row in rows)
    lines = "".join(f"<div>{_text(note)}</div>" for note in notes)
    return f"<table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>{lines}"


def _text(value: Any) -> str:
    return html.escape(harmless(str(value)))
