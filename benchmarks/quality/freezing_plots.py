"""Pictures of the freezing bench: quality against seconds and against bytes, with Pareto fronts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality.freezing_strategies import ENROLLED
from benchmarks.quality.freezing_table import Row, pareto_front
from vczoo.io.plotting import GREY, INK, add_grid, despine, page, save, set_title

# Okabe and Ito's palette, which differs in lightness too; each amount of speech also has its own marker.
STYLES = {0.5: ("#56b4e9", "o"), 1.0: ("#d55e00", "s"), 3.0: ("#004d40", "^")}
OTHER = ("#999999", "D")
COSTS = {"cpu_seconds": "CPU time of the fine-tune, s", "bytes": "size of the stored voice, kB"}
QUALITIES = {
    "similarity": ("similarity to the target, cosine", 1),
    "wer": ("word error rate (lower is better)", -1),
    "accuracy": ("speakers recognized, share", 1),
}


def draw(table: Sequence[Row], folder: Path) -> list[Path]:
    """Draw each part: a row of plots for each quality, a column for each cost. Returns the SVG files."""
    paths = []
    for part in dict.fromkeys(row["part"] for row in table):
        rows = [row for row in table if row["part"] == part and row["strategy"] != ENROLLED]
        qualities = [name for name in QUALITIES if any(row[name] is not None for row in rows)]
        if not rows or not qualities:
            continue
        figure = page(11, 4.2 * len(qualities))
        grid = figure.subplots(len(qualities), len(COSTS), squeeze=False)
        for line, quality in zip(grid, qualities, strict=True):
            for axes, cost in zip(line, COSTS, strict=True):
                _plot(axes, rows, quality, cost)
        set_title(grid[0][0], f"{part}: every strategy; lines join those that none beats (Pareto front)")
        grid[0][-1].legend(fontsize=8, frameon=False, loc="best", title="speech", title_fontsize=8)
        paths.append(save(figure, folder / f"freezing-{part}.svg"))
    return paths


def _plot(axes: Any, rows: Sequence[Row], quality: str, cost: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    despine(axes)
    add_grid(axes)
    label, sign = QUALITIES[quality]
    for minutes in sorted({row["minutes"] for row in rows}):
        own = [r for r in rows if r["minutes"] == minutes and r[quality] is not None and r[cost] is not None]
        if not own:
            continue
        color, marker = STYLES.get(minutes, OTHER)
        x = [row[cost] / (1000 if cost == "bytes" else 1) for row in own]
        y = [row[quality] for row in own]
        ends = [(row[f"{quality}_low"], row[f"{quality}_high"]) for row in own]
        bars = [
            [max(0.0, value - low) if low is not None else 0.0 for value, (low, _) in zip(y, ends, strict=True)],
            [max(0.0, high - value) if high is not None else 0.0 for value, (_, high) in zip(y, ends, strict=True)],
        ]
        axes.errorbar(x, y, yerr=bars, fmt="none", ecolor=color, elinewidth=0.6, alpha=0.45)
        axes.scatter(x, y, s=22, color=color, marker=marker, label=f"{minutes:g} min", zorder=3)
        front = pareto_front([(cost_, sign * value) for cost_, value in zip(x, y, strict=True)])
        axes.plot([x[i] for i in front], [y[i] for i in front], color=color, linewidth=1.2)
        for i in front:
            axes.annotate(own[i]["strategy"], (x[i], y[i]), xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if cost == "cpu_seconds" else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(COSTS[cost], color=INK)
    axes.set_ylabel(label, color=INK)
    axes.tick_params(which="minor", color=GREY)
