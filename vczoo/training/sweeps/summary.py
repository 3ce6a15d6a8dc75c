"""The summary of a sweep's table as text: rows for a terminal, means over seeds, and the best cell."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from typing import Any

from vczoo.training.sweeps.grid import Axis, shown
from vczoo.training.sweeps.table import Row, Table

__all__ = ["best_line", "incomparable", "texts", "texts_of_means"]

_HEADS = ("recipe", "heads", "vocoder", "teacher")  # axes of which the validation losses are of different kinds


def texts(table: Table) -> list[dict[str, str]]:
    """The rows as text, rounded. The name of a cell is left out, and its status if all cells are done."""
    done = all(row.status == "done" for row in table.rows)
    hidden = {"cell", *(("status", "reason") if done else ())}
    records = [{name: value for name, value in record.items() if name not in hidden} for record in table.records()]
    return [_rounded(table, record) for record in records]


def texts_of_means(table: Table) -> list[dict[str, str]]:
    """The means over seeds as text: `0.710 ± 0.020` is a mean and a standard deviation."""
    rows = []
    for record in table.means():
        row = {name: value for name, value in record.items() if not name.endswith(("_mean", "_std"))}
        for measure in table.measures:
            mean, deviation = record[f"{measure}_mean"], record[f"{measure}_std"]
            row[measure] = _text(mean) + (f" ± {_text(deviation)}" if deviation is not None else "")
        rows.append(_rounded(table, row))
    return rows


def best_line(table: Table) -> str:
    """One line with the best settings by the recipes' criterion on validation, averaged over seeds.

    It says why if the cells cannot be compared. It is empty if fewer than two settings were trained.
    """
    groups = [(settings, [row for row in rows if row.score]) for settings, rows in table.groups()]
    groups = [(settings, rows) for settings, rows in groups if rows]
    if len(groups) < 2:
        return ""
    criteria = sorted({row.criterion for _, rows in groups for row in rows})
    if reason := incomparable(criteria, table.axes):
        return f"no best cell is named: {reason}"
    settings, rows = min(groups, key=lambda group: [fmean(values) for values in zip(*_scores(group[1]), strict=True)])
    name = ", ".join(f"{axis}={shown(value)}" for axis, value in settings.items()) or rows[0].name
    seeds = f", mean of {len(rows)} seeds" if len(rows) > 1 else ""
    figures = {measure: [row.figures[measure] for row in rows if measure in row.figures] for measure in table.measures}
    text = ", ".join(f"{measure} {_text(fmean(values))}" for measure, values in figures.items() if values)
    return f"best by validation {criteria[0]}{seeds}: {name}" + (f" ({text})" if text else "")


def incomparable(criteria: Collection[str], axes: Sequence[Axis]) -> str:
    """Why the validation scores of cells cannot be compared; empty if they can.

    Args:
        criteria: The criteria of the cells' recipes.
        axes: The axes of the grid.
    """
    if len(set(criteria)) > 1:
        return f"the cells have different criteria ({', '.join(sorted(set(criteria)))})"
    varied = [axis.name for axis in axes if axis.name.partition(".")[0] in _HEADS and len(axis.values) > 1]
    if set(criteria) == {"loss"} and varied:
        return (
            f"validation losses cannot be compared over {', '.join(varied)}; compare another measure, or set "
            "training.criterion"
        )
    return ""


def _rounded(table: Table, record: Mapping[str, Any]) -> dict[str, str]:
    """A record as text. Settings keep all their digits."""
    exact = {axis.name for axis in table.axes}
    return {
        name: shown(value) if name in exact and value is not None else _text(value) for name, value in record.items()
    }


def _scores(rows: Sequence[Row]) -> list[tuple[float, ...]]:
    return [row.score for row in rows]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return "" if value is None else shown(value)
