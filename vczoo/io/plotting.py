"""Common style of all plots: a palette for light and dark pages, figures, axes and titles, and saving as PNG or SVG."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

from vczoo.io.files import write_beside
from vczoo.io.text import harmless

__all__ = [
    "BLUE",
    "BROWN",
    "COLORS",
    "DARK",
    "GREEN",
    "GREY",
    "INK",
    "LINE",
    "MARKERS",
    "ORANGE",
    "PAPER",
    "PURPLE",
    "TEAL",
    "WIDTH_INCHES",
    "add_grid",
    "despine",
    "folded",
    "legend_below",
    "one_axes",
    "page",
    "save",
    "set_title",
    "svg_text",
]

# A search over hues and lightness found these: each has a contrast of at least 3 to the page, and any two stay apart
# for people with deuteranopia, protanopia and tritanopia (tests/unit/io/test_plotting.py measures both).
INK, GREY, BLUE, GREEN, ORANGE = "#222222", "#7a7a7a", "#016ffd", "#14a55d", "#da7a1a"
PURPLE, BROWN, TEAL = "#9830ad", "#654608", "#144b65"
PAPER, LINE = "#ffffff", "#e6e6e6"  # the page, and the pale lines of a grid
COLORS = (BLUE, ORANGE, GREEN, PURPLE, TEAL, BROWN)  # of lines and points, in the order of their use
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")  # so that nothing is told by its color only
# What each color becomes on a dark page, in a figure that is drawn into one.
DARK = {
    INK: "#e8e8e8",
    GREY: "#9a9a9a",
    BLUE: "#1e85fb",
    GREEN: "#54e59d",
    ORANGE: "#d84d11",
    PURPLE: "#cd54b5",
    BROWN: "#e1c246",
    TEAL: "#9dd2f8",
    PAPER: "#15181c",
    LINE: "#33383f",
}
TITLE_CHARACTERS = 54  # of a line of a title
LEGEND_GAP_INCHES = 0.52  # from the x axis: what its numbers and its label take
WIDTH_INCHES = 5.0  # of every plot: its letters are then legible on a phone, and not huge on a desk


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
    axes.set_facecolor(PAPER)
    axes.tick_params(colors=INK, labelsize=8, color=GREY)
    axes.xaxis.label.set(size=9, color=INK)
    axes.yaxis.label.set(size=9, color=INK)


def add_grid(axes: Any) -> None:
    """Draw a pale grid behind the data."""
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def set_title(axes: Any, title: str, above_points: float = 6.0) -> None:
    """Set a title, aligned to the left, on as many lines as it takes, so many points above the axes."""
    axes.set_title(folded(title), loc="left", fontsize=10, color=INK, pad=above_points)


def folded(title: str) -> str:
    """A title on lines that are no wider than a plot."""
    return "\n".join(part for line in title.split("\n") for part in textwrap.wrap(line, TITLE_CHARACTERS) or [""])


def legend_below(axes: Any, columns: int = 2, **options: Any) -> Any:
    """Draw a legend under the label of the x axis, where it hides no data and takes no width."""
    from matplotlib.transforms import ScaledTranslation

    below = axes.transAxes + ScaledTranslation(0.0, -LEGEND_GAP_INCHES, axes.figure.dpi_scale_trans)
    return axes.legend(
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=below,
        ncols=columns,
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        borderaxespad=0.0,
        **options,
    )


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
        figure.savefig(temporary, format=kind, dpi=150, facecolor=PAPER, bbox_inches="tight", pad_inches=0.15)
    return path


def svg_text(figure: Any) -> str:
    """A figure as an SVG document with a transparent background, whose letters are text."""
    from matplotlib import rc_context

    _show_as_text(figure)
    figure.tight_layout()
    content = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "vczoo"}):
        figure.savefig(
            content,
            format="svg",
            transparent=True,
            bbox_inches="tight",
            pad_inches=0.05,
            metadata={"Date": None, "Creator": None},
        )
    return content.getvalue()


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
