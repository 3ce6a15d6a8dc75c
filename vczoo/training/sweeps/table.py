"""The table of a sweep, one row per cell, and its means over seeds: as plain values, text, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vczoo.io.markdown import one_line
from vczoo.io.markdown import table as markdown_table
from vczoo.models.selection_metric import score
from vczoo.training.sweeps.cells import Cell
from vczoo.training.sweeps.grid import SEED, Axis, Settings, shown
from vczoo.training.sweeps.measures import figures_of, split_of
from vczoo.training.sweeps.state import State

__all__ = ["Row", "Table", "merged_axes", "ranked", "to_csv", "to_markdown"]

FACTS = ("seconds", "epochs", "trainable_parameters", "minutes_used")
_ORDER = {"accuracy": 0, "similarity": 1, "loss": 3}  # other figures come between them and the losses


@dataclass(frozen=True)
class Row:
    """One cell in the table and the plots.

    Attributes:
        name: The name of the cell.
        settings: The cell's value on each axis.
        figures: The figures by column, such as `validation_loss` and `test_similarity`.
        facts: `seconds` of training, `epochs`, `trainable_parameters` and `minutes_used` per speaker, as far as they
            are recorded.
        status: The status of the cell, as in the state.
        reason: The reason for a failure, as in the state.
        criterion: The recipe's criterion for the best epoch.
        score: The validation score of the kept weights by that criterion; the lower tuple is better. Empty if there is
            none.
    """

    name: str
    settings: Settings
    figures: Mapping[str, float]
    facts: Mapping[str, float]
    status: str
    reason: str = ""
    criterion: str = "loss"
    score: tuple[float, ...] = ()


@dataclass(frozen=True)
class Table:
    """The cells of a sweep, in the order of the grid.

    Attributes:
        axes: The settings that the cells differ in.
        rows: One row per cell.
        measures: The columns of figures, those of validation first.
    """

    axes: tuple[Axis, ...]
    rows: tuple[Row, ...]
    measures: tuple[str, ...]

    @classmethod
    def of(cls, state: State, measures: Sequence[str] | None) -> Table:
        """Make the table from the state of a sweep.

        Args:
            state: The state of the sweep.
            measures: The requested figures, as in `vczoo.training.sweeps.measures.is_wanted`.
        """
        axes = tuple(Axis(name, tuple(values)) for name, values in state.axes.items())
        rows = [_row(name, cell, measures) for name, cell in state.cells.items()]
        rows.sort(key=lambda row: [_place(axis, row.settings) for axis in axes])
        columns = dict.fromkeys(column for row in rows for column in row.figures)
        ordered = sorted(columns, key=lambda c: (split_of(c) == "test", _ORDER.get(c.rpartition("_")[2], 2)))
        return cls(axes, tuple(rows), tuple(ordered))

    def records(self) -> list[dict[str, Any]]:
        """The rows as plain values by column, with `cell` first, and `status` and `reason` last."""
        return [
            {
                "cell": row.name,
                **{axis.name: row.settings.get(axis.name) for axis in self.axes},
                **{measure: row.figures.get(measure) for measure in self.measures},
                **{fact: row.facts.get(fact) for fact in FACTS},
                "status": row.status,
                "reason": one_line(row.reason),
            }
            for row in self.rows
        ]

    def groups(self) -> list[tuple[Settings, list[Row]]]:
        """The trained rows that differ only in `seed`, with the settings that they share."""
        groups: dict[str, tuple[Settings, list[Row]]] = {}
        for row in self.rows:
            settings = {name: value for name, value in row.settings.items() if name != SEED}
            if row.status == "done":
                groups.setdefault(json.dumps(settings), (settings, []))[1].append(row)
        return list(groups.values())

    def means(self) -> list[dict[str, Any]]:
        """The mean and the sample standard deviation of each measure over seeds; no rows without several seeds.

        The columns are the other axes, the number of `seeds`, and `<measure>_mean` and `<measure>_std`. A single seed
        has no standard deviation.
        """
        if not any(axis.name == SEED and len(axis.values) > 1 for axis in self.axes):
            return []
        records = []
        for settings, rows in self.groups():
            record: dict[str, Any] = {a.name: settings.get(a.name) for a in self.axes if a.name != SEED}
            record["seeds"] = len(rows)
            for measure in self.measures:
                values = [row.figures[measure] for row in rows if measure in row.figures]
                record[f"{measure}_mean"] = statistics.fmean(values) if values else None
                record[f"{measure}_std"] = statistics.stdev(values) if len(values) > 1 else None
            records.append(record)
        return records


def to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Records as CSV, with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(records[0] if records else [])
    for record in records:
        writer.writerow("" if value is None else shown(value) for value in record.values())
    return text.getvalue()


def to_markdown(rows: Sequence[Mapping[str, str]], left: int = 1) -> str:
    """Rows of text as GitHub Markdown. The first `left` columns are left-aligned."""
    cells = [[value.replace("|", "\\|") for value in row.values()] for row in rows]
    return markdown_table(tuple(rows[0]), cells, left=left) + "\n"


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


def ranked(cells: Sequence[Cell], state: State) -> list[tuple[Settings, int | None]]:
    """The settings of cells, each with its rank by validation (0 is the best); None if it has no score.

    Pruned cells come after all others.
    """
    rows = [_row(cell.name, state.cells[cell.name], None) for cell in cells]
    best_first = sorted({row.score for row in rows if row.score})
    ranks = {row.name: best_first.index(row.score) for row in rows if row.score}
    ranks |= {row.name: len(best_first) for row in rows if row.status == "pruned"}
    return [(row.settings, ranks.get(row.name)) for row in rows]


def _row(name: str, cell: Mapping[str, Any], measures: Sequence[str] | None) -> Row:
    metrics = cell.get("metrics", {})
    facts: dict[str, float] = {fact: metrics[fact] for fact in FACTS if fact in metrics}
    if minutes := metrics.get("training_minutes"):
        facts["minutes_used"] = round(sum(minutes.values()) / len(minutes), 2)
    criterion, validation = cell.get("criterion", "loss"), metrics.get("validation") or {}
    value = score(validation, criterion) if validation else ()
    figures = figures_of(cell, measures)
    return Row(
        name,
        cell["settings"],
        figures,
        facts,
        cell["status"],
        cell.get("reason", ""),
        criterion,
        value if all(map(math.isfinite, value)) else (),
    )


def _place(axis: Axis, settings: Settings) -> int:
    if axis.name not in settings:
        return -1
    return list(map(json.dumps, axis.values)).index(json.dumps(settings[axis.name]))
