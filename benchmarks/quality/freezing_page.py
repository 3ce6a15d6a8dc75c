"""The tables of the freezing bench in its page of the documentation, between comments that name the part."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.quality.freezing_table import Row
from vczoo.io.files import write_text
from vczoo.io.markdown import table as markdown_table

PAGE = "freezing-bench.md"
PLACE = "<!-- {}: begin -->\n{}<!-- {}: end -->"
TITLES = {
    "similarity": "similarity",
    "wer": "WER",
    "accuracy": "accuracy",
    "similarity_difference": "difference in similarity",
    "wer_difference": "difference in WER",
    "accuracy_difference": "difference in accuracy",
}


def update_page(page: Path, table: Sequence[Row]) -> None:
    """Replace the tables of the parts that were measured, where the page has a place for them."""
    text = page.read_text(encoding="utf-8")
    for part in dict.fromkeys(row["part"] for row in table):
        place = re.compile(PLACE.format(part, ".*?", part), re.DOTALL)
        rows = [row for row in table if row["part"] == part]
        content = PLACE.format(part, f"\n{markdown(rows)}\n\n", part)
        text = place.sub(lambda _, content=content: content, text)
    write_text(page, text)


def markdown(rows: Sequence[Row]) -> str:
    """The rows of one part as a Markdown table; a figure has its 95% interval in brackets."""
    figures = [name for name in TITLES if any(row[name] is not None for row in rows)]
    titles = ["minutes", "strategy", "seeds", *(TITLES[name] for name in figures), "CPU, s", "kB", "parameters"]
    cells = []
    for row in sorted(rows, key=lambda row: row["minutes"]):
        values = [_with_interval(row, name) for name in figures]
        costs = [_number(row["cpu_seconds"], 0), _number(row["bytes"] / 1000, 0), f"{row['trainable_parameters']:,.0f}"]
        cells.append([f"{row['minutes']:g}", row["strategy"], str(row["seeds"]), *values, *costs])
    return markdown_table(titles, cells, left=2)


def _with_interval(row: Row, name: str) -> str:
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    if value is None:
        return ""
    ends = "" if low is None else f" [{low:.3f}, {high:.3f}]"
    return f"{value:+.3f}{ends}" if name.endswith("_difference") else f"{value:.3f}{ends}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
