"""Contents of a report page as plain values: sections of paragraphs, tables, figures, players and code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Block", "Code", "Figure", "Page", "Player", "Players", "Section", "Table", "Text", "table_of"]

MOST_ROWS = 60  # of a table; a run may have 10,000 voices


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """A table of text, whose first column is the heading of each row.

    Attributes:
        caption: What the table shows.
        header: The headings of the columns.
        rows: The cells, as many as there are headings.
        total: The number of rows that there are, if only the first ones are shown.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int = 0
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """A plot.

    Attributes:
        svg: The plot, as `vczoo.reporting.figures.inline_svg` returns it.
        caption: What it shows, and how to read it.
    """

    svg: str
    caption: str
    kind: str = "figure"


@dataclass(frozen=True)
class Player:
    """A recording to play.

    Attributes:
        label: What the recording is; it names the player for a screen reader, too.
        uri: The sound file, as a data URI.
        seconds: Its length.
    """

    label: str
    uri: str
    seconds: float


@dataclass(frozen=True)
class Players:
    """Recordings that belong together, such as a source, its conversion and the real voice."""

    title: str
    players: tuple[Player, ...]
    kind: str = "players"


@dataclass(frozen=True)
class Code:
    """Text to be read as it is, folded away until it is asked for."""

    summary: str
    text: str
    kind: str = "code"


Block = Text | Table | Figure | Players | Code


@dataclass(frozen=True)
class Section:
    """A section of a page. It has at least one block: if there is nothing to show, a sentence that says why."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: The name of what the report is about.
        lead: One or two sentences on what that is.
        sections: The sections, in their order.
        notice: What a reader must know before sharing the page; empty for nothing.
    """

    title: str
    lead: str
    sections: tuple[Section, ...] = field(default=())
    notice: str = ""


def table_of(caption: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """A table of rows with the same keys, which are the headings. Of many rows, the first are shown."""
    header = tuple(rows[0]) if rows else ()
    shown = tuple(tuple(row.values()) for row in rows[:MOST_ROWS])
    return Table(caption, header, shown, len(rows) if len(rows) > MOST_ROWS else 0)
