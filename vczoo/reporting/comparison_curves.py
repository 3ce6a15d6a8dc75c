"""Curves of several runs over each other: each figure on held-out recordings by epoch, one line per run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from vczoo.io.plotting import COLORS, MARKERS, PAPER, WIDTH_INCHES, add_grid, despine, legend_below, page, set_title
from vczoo.reporting.figures import shortened

__all__ = ["overlaid_figure"]

History = Sequence[Mapping[str, Any]]

MOST_PANELS = 5
DOTTED = 40  # epochs, at most, for which each gets a mark
TITLES = {
    "loss": ("Loss", "loss"),
    "similarity": ("Similarity of held-out conversions", "cosine"),
    "character_error": ("Character errors of held-out conversions", "share wrong"),
}
# Of a head; the losses of heads are parts of the loss, and say little by themselves.
KINDS = {
    "accuracy": ("Accuracy of", "share right"),
    "recall": ("Mean recall of", "share right"),
    "wer": ("Wrong words of", "share wrong"),
    "cer": ("Wrong characters of", "share wrong"),
}


def overlaid_figure(histories: Mapping[str, History]) -> Any:
    """Plot what the runs measured on held-out recordings after each epoch, one panel per figure.

    Args:
        histories: The records of each run, as in metrics.jsonl, by its name; at least one record each.
    """
    names = [name for name in _figures(histories) if _title(name)]
    # What several runs have comes first: it is what can be compared.
    having = {name: sum(name in history[-1]["validation"] for history in histories.values()) for name in names}
    shown = sorted(names, key=lambda name: (name != "loss", -having[name]))[:MOST_PANELS]
    figure = page(WIDTH_INCHES, 1.9 * len(shown) + 0.6 + 0.16 * len(histories))
    grids = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(grids, shown, strict=True):
        despine(axes)
        add_grid(axes)
        title, unit = _title(name) or (name, "")
        set_title(axes, title)
        axes.set_ylabel(unit)
        for run, color, marker in zip(histories, cycle(COLORS), cycle(MARKERS), strict=False):
            points = [(r["epoch"], r["validation"][name]) for r in histories[run] if name in r["validation"]]
            few = len(points) <= DOTTED
            axes.plot(
                [epoch for epoch, _ in points],
                [value for _, value in points],
                color=color,
                marker=marker if few else "",
                ms=4,
                mec=PAPER,
                mew=0.5,
                lw=1.4,
                label=shortened(run),
            )
    grids[-1].set_xlabel("epoch")
    grids[-1].xaxis.get_major_locator().set_params(integer=True)
    figure.tight_layout(h_pad=1.2)
    legend_below(grids[-1], columns=2)
    return figure


def _figures(histories: Mapping[str, History]) -> dict[str, None]:
    return dict.fromkeys(name for history in histories.values() for record in history for name in record["validation"])


def _title(name: str) -> tuple[str, str] | None:
    """The title of a figure's panel and its unit; None for a figure that is not drawn."""
    head, _, kind = name.rpartition(".")
    if head and kind in KINDS:
        return f"{KINDS[kind][0]} {head}", KINDS[kind][1]
    return TITLES.get(name)
