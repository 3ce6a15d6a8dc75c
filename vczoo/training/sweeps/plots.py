"""Plots of a sweep's table: each measure over each axis, with one line per combination of the other axes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vczoo.io.plotting import COLORS, GREY, INK, MARKERS, WIDTH_INCHES, one_axes, save, set_title
from vczoo.training.sweeps.grid import MINUTES, SEED, Axis, shown
from vczoo.training.sweeps.measures import SIMILARITY, split_of
from vczoo.training.sweeps.table import Row, Table

__all__ = ["draw_table", "table_figures"]

CONVERSIONS = f"test_{SIMILARITY}"
STEEP = 20.0  # ratio of the highest to the lowest number from which a scale is logarithmic
LEAST_SPAN = 0.2  # at least, of the y axis of an accuracy
STYLES = ((0, (4, 3)), (0, (1, 2)))  # of the reference lines of similarity
KINDS = (".png", ".svg")
_LABELS = {"accuracy": "accuracy, share right", SIMILARITY: "similarity, cosine to the target", "loss": "loss"}
_REFERENCES = {"unconverted": "unconverted", "real": "real speech of the target"}


def draw_table(table: Table, folder: Path, yardsticks: Mapping[str, float], *, sampled: bool = False) -> list[Path]:
    """Draw each measure over each axis that has several values, as PNG and as SVG.

    For several seeds, a plot has their mean, with bars from the lowest to the highest. Numbers get a numeric scale,
    and minutes a logarithmic one. Names are side by side in the order of the grid.

    Args:
        table: The table of the sweep.
        folder: The folder for the plots.
        yardsticks: The similarity of unconverted and of real speech.
        sampled: Whether the cells are a sample of the grid. A plot then has the mean of all cells with a value, because
            few cells differ in one setting only.

    Returns:
        The paths of the plots; an empty list if no axis has several values.

    Raises:
        OSError: The disk cannot be written.
    """
    paths: list[Path] = []
    for title, figure in table_figures(table, yardsticks, sampled=sampled):
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", title)
        paths += [save(figure, folder / f"{name}{kind}") for kind in KINDS]
    return paths


def table_figures(table: Table, yardsticks: Mapping[str, float], *, sampled: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield the plots of `draw_table` as figures, each with its name: `test_loss-by-minutes`."""
    axes = [axis for axis in table.axes if axis.name != SEED]
    for measure in table.measures:
        for axis in axes:
            if len(axis.values) > 1 or (axis is axes[0] and len(axes) == 1):
                figure = _draw(table, measure, axis, yardsticks if measure == CONVERSIONS else {}, sampled)
                if figure:
                    yield f"{measure}-by-{axis.name}", figure


def _draw(table: Table, measure: str, axis: Axis, yardsticks: Mapping[str, float], sampled: bool = False) -> Any:
    """One figure; None if no cell has the measure."""
    lines = _lines(table, measure, axis, sampled)
    if not lines:
        return None
    figure, axes = one_axes(WIDTH_INCHES, 3.4)
    several = max(len(values) for line in lines.values() for values in line.values()) > 1
    width = 0.12  # between lines over names, so that they do not hide each other
    for number, (label, line) in enumerate(lines.items()):
        places = [axis.values[index] if axis.numeric else index for index in line]
        if not axis.numeric:
            places = [place + width * (number - (len(lines) - 1) / 2) for place in places]
        means = [sum(values) / len(values) for values in line.values()]
        down = [mean - min(values) for mean, values in zip(means, line.values(), strict=True)]
        up = [max(values) - mean for mean, values in zip(means, line.values(), strict=True)]
        axes.errorbar(
            places,
            means,
            yerr=[down, up] if several else None,
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle="-" if axis.numeric else "",
            linewidth=1.4,
            markersize=max(4.0, 8.0 - 1.5 * number),  # so that coinciding lines stay visible
            capsize=2.5,
            label=label,
            zorder=3,
        )
    _scale(axes, axis)
    if measure.endswith("accuracy"):
        low, high = axes.get_ylim()
        missing = max(0.0, LEAST_SPAN - (high - low)) / 2  # so that tiny differences do not fill the plot
        axes.set_ylim(max(-0.02, low - missing), min(1.02, high + missing))
    axes.set_ylabel(_LABELS.get(measure.rpartition("_")[2], measure))
    counts = {len(values) for line in lines.values() for values in line.values()}
    cells = "all cells" if sampled else f"{max(counts)} seeds"
    spread = f"; mean of {cells}, bars: lowest to highest" if several else ""
    of = "conversions of the test split" if measure == CONVERSIONS else f"{split_of(measure)} split"
    set_title(axes, f"{measure} by {_title(axis)}\n{of}{spread}")
    others = [other for other in table.axes if other.name not in {axis.name, SEED} and len(other.values) > 1]
    if others and not sampled:
        _legend(axes, list(axes.containers), "upper", ", ".join(_short(other) for other in others))
    dashes = [
        axes.axhline(value, color=GREY, linewidth=1.0, linestyle=style, zorder=1, label=_REFERENCES.get(name, name))
        for (name, value), style in zip(yardsticks.items(), STYLES, strict=False)
    ]
    if dashes:
        _legend(axes, dashes, "lower")
    return figure


def _lines(table: Table, measure: str, axis: Axis, sampled: bool) -> dict[str, dict[int, list[float]]]:
    """For each combination of the other axes' values, the figures (one per seed) by position on the axis."""
    others = [other for other in table.axes if other.name not in {axis.name, SEED}]
    marks = list(map(json.dumps, axis.values))
    lines: dict[str, dict[int, list[float]]] = {}
    for row in sorted(table.rows, key=lambda row: _rank(row, others)):
        value = row.figures.get(measure)
        if value is None or not math.isfinite(value) or any(a.name not in row.settings for a in (axis, *others)):
            continue
        label = ", ".join(shown(row.settings[o.name]) for o in others if len(o.values) > 1 and not sampled)
        line = lines.setdefault(label, {})
        line.setdefault(marks.index(json.dumps(row.settings[axis.name])), []).append(value)
    order = sorted(range(len(marks)), key=lambda index: axis.values[index]) if axis.numeric else range(len(marks))
    return {label: {index: line[index] for index in order if index in line} for label, line in lines.items()}


def _rank(row: Row, axes: Sequence[Axis]) -> list[int]:
    return [
        list(map(json.dumps, a.values)).index(json.dumps(row.settings[a.name])) for a in axes if a.name in row.settings
    ]


def _scale(axes: Any, axis: Axis) -> None:
    """Set the scale of the x axis, with ticks at the values."""
    if axis.numeric:
        lowest, highest = min(axis.values), max(axis.values)
        if axis.name == MINUTES or (lowest > 0 and highest / lowest >= STEEP):
            axes.set_xscale("log")
        ticks = sorted(axis.values)
        axes.set_xticks(ticks, [shown(value) for value in ticks])
        axes.minorticks_off()
    else:
        texts = [shown(value) for value in axis.values]
        long = sum(map(len, texts)) > 60
        axes.set_xticks(range(len(texts)), texts, rotation=20 if long else 0, ha="right" if long else "center")
        axes.set_xlim(-0.5, len(texts) - 0.5)
    axes.set_xlabel(_title(axis))


def _legend(axes: Any, handles: Sequence[Any], side: str, title: str = "") -> None:
    """Draw a legend to the right of the data, where it hides none of it."""
    legend = axes.legend(
        handles=handles,
        title=title,
        loc=f"{side} left",
        bbox_to_anchor=(1.02, 1.0 if side == "upper" else 0.0),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        title_fontsize=8,
        alignment="left",
    )
    legend.get_title().set_color(INK)
    if side == "upper":  # else the lower legend would replace it
        legend.remove()
        axes.add_artist(legend)
        legend.set_clip_on(False)  # it lies outside the axes


def _title(axis: Axis) -> str:
    return "minutes of speech a speaker, at most" if axis.name == MINUTES else axis.name


def _short(axis: Axis) -> str:
    return axis.name.rpartition(".")[2]
