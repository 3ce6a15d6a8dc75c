"""The table of a sweep, one row per cell, as text, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vczoo.io.markdown import one_line
from vczoo.io.markdown import table as markdown_table
from vczoo.training.sweeps.grid import MINUTES, Axis, Settings, shown
from vczoo.training.sweeps.state import State

__all__ = ["SIMILARITY", "Row", "Table", "figures_of", "is_wanted", "merged_axes", "title_of"]

SIMILARITY = "similarity"
WIDEST = 60  # characters of a table cell on a terminal
_UP, _DOWN = ("accuracy", SIMILARITY), ("loss", "wer", "cer", "error", "eer")
_ORDER = {"accuracy": 0, SIMILARITY: 1, "loss": 3}  # other figures come between them and the losses
_UNITS = {
    "accuracy": "share right",
    SIMILARITY: "cosine to the target",
    "wer": "errors a word",
    "cer": "errors a character",
}

_MINUTES, _USED = "minutes of speech, at most", "minutes used, a speaker"
_BRIEF = {_MINUTES: "minutes", _USED: "used", "training, s": "seconds", "trainable parameters": "parameters"}
_FACTS = {"training, s": "seconds", "epochs": "epochs", "trainable parameters": "parameters"}


@dataclass(frozen=True)
class Row:
    """One cell in the table and the plots.

    Attributes:
        name: The name of the cell.
        settings: The cell's value on each axis.
        figures: Figures by name: those of held-out recordings, and `similarity`.
        facts: The minutes, seconds, parameters and epochs, as far as they are recorded.
        status: The status of the cell, as in the state.
        reason: The reason for a failure, as in the state.
    """

    name: str
    settings: Settings
    figures: Mapping[str, float]
    facts: Mapping[str, float]
    status: str
    reason: str = ""


@dataclass(frozen=True)
class Table:
    """The cells of a sweep, in the order of the grid.

    Attributes:
        axes: The settings that the cells differ in.
        rows: One row per cell.
        measures: The names of the figures, in the order of the columns.
    """

    axes: tuple[Axis, ...]
    rows: tuple[Row, ...]
    measures: tuple[str, ...]

    @classmethod
    def of(cls, state: State, measures: Sequence[str] | None) -> Table:
        """Make the table from the state of a sweep.

        Args:
            state: The state of the sweep.
            measures: The requested figures, as in `is_wanted`.
        """
        axes = tuple(Axis(name, tuple(values)) for name, values in state.axes.items())
        rows = [_row(name, cell) for name, cell in state.cells.items()]
        rows.sort(key=lambda row: [_place(axis, row.settings) for axis in axes])
        names = dict.fromkeys(name for row in rows for name in row.figures if is_wanted(name, measures))
        ordered = sorted(names, key=lambda name: _ORDER.get(name.rpartition(".")[2], 2))
        return cls(axes, tuple(rows), tuple(ordered))

    def texts(self) -> list[dict[str, str]]:
        """The rows as text, with units in the headings."""
        return [{title: _text(value) for title, value in row.items()} for row in self._values()]

    def brief(self) -> list[dict[str, str]]:
        """The same rows for a terminal: headings have no units, and long texts are cut off."""
        return [
            {_brief(title): text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…" for title, text in row.items()}
            for row in self.texts()
        ]

    def to_csv(self) -> str:
        """The table as CSV, with all digits."""
        rows = self._values()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["cell", *rows[0]] if rows else ["cell"])
        for row, values in zip(self.rows, rows, strict=True):
            writer.writerow([row.name, *("" if value is None else shown(value) for value in values.values())])
        return text.getvalue()

    def to_markdown(self) -> str:
        """The table as GitHub Markdown."""
        rows = self.texts()
        return (
            markdown_table(
                tuple(rows[0]), [[v.replace("|", "\\|") for v in row.values()] for row in rows], left=len(self.axes)
            )
            + "\n"
        )

    def _values(self) -> list[dict[str, Any]]:
        failed = any(row.status != "done" for row in self.rows)
        table_rows = []
        for row in self.rows:
            cells: dict[str, Any] = {}
            for axis in self.axes:
                title = _MINUTES if axis.name == MINUTES else axis.name
                cells[title] = shown(row.settings[axis.name]) if axis.name in row.settings else ""
            cells[_USED] = row.facts.get("minutes")
            cells |= {title_of(measure): row.figures.get(measure) for measure in self.measures}
            for title, fact in _FACTS.items():
                cells[title] = row.facts.get(fact)
            if failed:
                cells["state"] = one_line(f"{row.status}{': ' if row.reason else ''}{row.reason}")
            table_rows.append(cells)
        return table_rows


def merged_axes(before: Mapping[str, Sequence[Any]], axes: Sequence[Axis]) -> dict[str, list[Any]]:
    """The axes of a grid with the values of earlier grids added. Numbers are then sorted; names keep their order."""
    merged = {axis.name: list(axis.values) for axis in axes}
    for name, values in before.items():
        merged_values = merged.setdefault(name, [])
        marks = set(map(json.dumps, merged_values))
        new = [value for value in values if json.dumps(value) not in marks]
        merged_values += new
        if new and Axis(name, tuple(merged_values)).numeric:
            merged_values.sort()
    return merged


def figures_of(cell: Mapping[str, Any]) -> dict[str, float]:
    """All figures of a cell: of the test split (or of validation if the test split is empty), and of conversions."""
    metrics = cell.get("metrics", {})
    figures = dict(metrics.get("test") or metrics.get("validation") or {})
    figures.pop(SIMILARITY, None)  # from validation during training, on other pairs
    if (similarity := cell.get("conversions", {}).get("similarity_to_target")) is not None:
        figures[SIMILARITY] = similarity
    return figures


def is_wanted(figure: str, measures: Sequence[str] | None) -> bool:
    """Whether a figure is requested, by its name (`speaker.accuracy`) or by the last part of it (`accuracy`).

    If `measures` is None, every figure is, except the losses of single heads.
    """
    if measures is None:
        return figure == "loss" or not figure.endswith(".loss")
    return figure in measures or figure.rpartition(".")[2] in measures


def title_of(figure: str) -> str:
    """A heading with the figure, its unit, and an arrow for the better direction."""
    kind = figure.rpartition(".")[2]
    unit = f", {_UNITS[kind]}" if kind in _UNITS else ""
    return figure + unit + (" ↑" if kind in _UP else " ↓" if kind in _DOWN else "")


def _row(name: str, cell: Mapping[str, Any]) -> Row:
    metrics = cell.get("metrics", {})
    facts: dict[str, float] = {}
    if minutes := metrics.get("training_minutes"):
        facts["minutes"] = round(sum(minutes.values()) / len(minutes), 2)
    for fact, key in (("seconds", "seconds"), ("epochs", "epochs"), ("parameters", "trainable_parameters")):
        if key in metrics:
            facts[fact] = metrics[key]
    return Row(name, cell["settings"], figures_of(cell), facts, cell["status"], cell.get("reason", ""))


def _place(axis: Axis, settings: Settings) -> int:
    if axis.name not in settings:
        return -1
    return list(map(json.dumps, axis.values)).index(json.dumps(settings[axis.name]))


def _brief(title: str) -> str:
    arrow = title[-2:] if title[-1:] in {"↑", "↓"} else ""
    return _BRIEF.get(title) or title.removesuffix(arrow).partition(",")[0] + arrow


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return "" if value is None else str(value)
