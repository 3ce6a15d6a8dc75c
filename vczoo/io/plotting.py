"""Common style of all plots: colors, figures, axes and titles, and saving as PNG or SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vczoo.io.files import write_beside
from vczoo.io.text import harmless

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "ORANGE",
    "PURPLE",
    "add_grid",
    "despine",
    "one_axes",
    "page",
    "save",
    "set_title",
]

INK, GREY, BLUE, GREEN, ORANGE, PURPLE = "#222222", "#9a9a9a", "#2f6db3", "#3a9a5b", "#d1762c", "#7a5ba6"


def page(width_inches: float, height_inches: float) -> Any:
    """An empty figure of the given size."""
    # Not pyplot, which would choose a GUI backend and keep every figure in memory.
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches))


def one_axes(width_inches: float, height_inches: float) -> tuple[Any, Any]:
    """A figure of the given size and its axes, with a pale grid."""
    figure = page(width_inches, height_inches)
    axes = figure.subplots()
    despine(axes)
    add_grid(axes)
    return figure, axes


def despine(axes: Any) -> None:
    """Hide the top and right spines and mute the others."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=8, color=GREY)
    axes.xaxis.label.set(size=9, color=INK)
    axes.yaxis.label.set(size=9, color=INK)


def add_grid(axes: Any) -> None:
    """Draw a pale grid behind the data."""
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def set_title(axes: Any, title: str) -> None:
    """Set a title, aligned to the left."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)


def save(figure: Any, path: Path) -> Path:
    """Write a figure atomically: as SVG if `path` ends in .svg, otherwise as PNG. Returns `path`.

    Titles, legends and labels are shown as they are: a name of a voice such as `$_$` is not a formula.

    Raises:
        OSError: the folder cannot be created or the disk is full.
    """
    _show_as_text(figure)
    figure.tight_layout()
    with write_beside(path) as temporary:
        kind = "svg" if path.suffix == ".svg" else "png"
        figure.savefig(temporary, format=kind, dpi=150, facecolor="white", bbox_inches="tight", pad_inches=0.15)
    return path


def _show_as_text(figure: Any) -> None:
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    numbers = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        labels = axis.get_ticklabels(which="both")
        numbers |= set(map(id, labels))
        if isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter):  # words instead of numbers
            for label in labels:
                label.set_parse_math(False)
    for text in figure.findobj(Text):
        if id(text) not in numbers:  # a logarithmic axis shows its numbers as formulas
            text.set_parse_math(False)
            text.set_text(harmless(text.get_text(), "\n"))
