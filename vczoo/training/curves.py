"""Training curves of a fine-tune: losses, accuracy, errors, conversions and the learning rate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from vczoo.io.plotting import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PAPER,
    WIDTH_INCHES,
    add_grid,
    despine,
    page,
    save,
    set_title,
)
from vczoo.io.progress import Callback
from vczoo.models.selection_metric import Criterion, best_epoch

__all__ = ["CURVES", "Curves", "curves_figure", "draw_curves", "plot_curves"]

CURVES = "curves.png"
LEGEND_POINTS = 20.0  # between an axes and its title, where a legend is
DOTTED = 40  # epochs, at most, for which each gets a dot
STEEP = 20.0  # ratio of the highest to the lowest loss above which the scale is logarithmic


class Curves(Callback):
    """A callback that draws curves.png at the end, also of an interrupted training, because they may show why.

    The arguments are those of `draw_curves`.
    """

    def __init__(
        self, log: Path, criterion: Criterion, keep: Literal["best", "last"], say: Callable[[str], None]
    ) -> None:
        self.draw = partial(draw_curves, log, criterion, keep, say)

    def end(self) -> None:
        """Draw the curves."""
        self.draw()


def draw_curves(
    log: Path, criterion: Criterion, keep: Literal["best", "last"], say: Callable[[str], None] = lambda line: None
) -> Path | None:
    """Draw curves.png next to a run's metrics.jsonl.

    If it cannot be drawn, this reports the problem and raises nothing, so that no fine-tune is lost.

    Args:
        log: The path of metrics.jsonl.
        criterion: The criterion that compared the epochs.
        keep: Whether the weights of the best or of the last epoch were kept.
        say: Called with a message if the curves cannot be drawn.

    Returns:
        The path of curves.png; None if it was not drawn, or if no epoch has finished yet.
    """
    if not log.is_file():
        return None
    history = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    if not history:
        return None
    try:
        return plot_curves(history, log.parent / CURVES, best_epoch(history, criterion, keep))
    except OSError as error:
        say(f"{CURVES} is not drawn: {error}")
        return None


def plot_curves(history: Sequence[Mapping[str, Any]], path: Path, chosen: int) -> Path:
    """Write `curves_figure` to an image file, and return the file.

    Raises:
        OSError: The disk cannot be written.
    """
    return save(curves_figure(history, chosen), path)


def curves_figure(history: Sequence[Mapping[str, Any]], chosen: int) -> Any:
    """Plot the figures of each epoch, with one panel per kind of figure and the chosen epoch marked.

    Args:
        history: One record per epoch, as in metrics.jsonl; at least one.
        chosen: The epoch whose weights are kept.
    """
    panels = _panels(history)
    heights = [2.4, *(1.7 for _ in panels[1:])]
    figure = page(WIDTH_INCHES, sum(heights) + 0.5)
    grids = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    dot = "o" if len(history) <= DOTTED else ""
    for axes, (title, unit, lines) in zip(grids[:, 0], panels, strict=True):
        despine(axes)
        add_grid(axes)
        axes.axvline(chosen, color=GREY, linewidth=0.8, linestyle=(0, (4, 4)), zorder=1)
        for label, color, points in lines:
            axes.plot(list(points), list(points.values()), color=color, lw=1.4, marker=dot, ms=2.5, label=label)
            if color != GREY and chosen in points:  # gray lines had no part in the choice
                axes.plot([chosen], [points[chosen]], "o", color=color, ms=6, mec=PAPER, mew=1.0, zorder=3)
        axes.set_ylabel(unit)
        set_title(axes, title, above_points=LEGEND_POINTS if len(lines) > 1 else 6.0)
        if len(lines) > 1:
            axes.legend(
                frameon=False,
                ncols=len(lines),
                loc="lower left",
                bbox_to_anchor=(0.0, 1.0),
                fontsize=8,
                labelcolor=INK,
                borderpad=0.2,
                borderaxespad=0.0,
            )
    losses = [value for _, _, points in panels[0][2] for value in points.values()]
    if min(losses) > 0 and max(losses) > STEEP * min(losses):
        grids[0, 0].set_yscale("log")
    below = grids[-1, 0]
    last = history[-1]["epoch"]
    below.set(ylim=(0, None), xlim=(-0.5, last + 0.5), xlabel=f"epoch; the weights of epoch {chosen} are kept")
    below.xaxis.label.set(size=9, color=INK)
    below.xaxis.get_major_locator().set_params(integer=True)
    return figure


Line = tuple[str, str, dict[int, float]]


def _panels(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[Line]]]:
    """The title of each panel, its unit, and its lines, each with a label, a color and values by epoch."""

    def line(label: str, color: str, split: str, figure: str) -> list[Line]:
        points = {record["epoch"]: record[split][figure] for record in history if figure in record[split]}
        return [(label, color, points)] if points else []

    panels = [
        ("Loss", "loss", [*line("training", GREY, "train", "loss"), *line("validation", BLUE, "validation", "loss")])
    ]
    names = {name: None for record in history for split in ("train", "validation") for name in record[split]}
    for name in names:
        if name.endswith(".accuracy"):
            splits = [*line("training", GREY, "train", name), *line("validation", BLUE, "validation", name)]
            panels.append((f"Accuracy of {name.removesuffix('.accuracy')}", "share right", splits))
        if name.endswith((".recall", ".wer")):
            head_name, _, kind = name.rpartition(".")
            if kind == "recall":
                panels.append(
                    (f"Mean recall of {head_name}", "share right", line("validation", BLUE, "validation", name))
                )
            else:
                errors = [
                    *line("words", ORANGE, "validation", name),
                    *line("characters", GREEN, "validation", f"{head_name}.cer"),
                ]
                panels.append((f"Wrong words and characters of {head_name}", "share wrong", errors))
    conversions = [
        *line("similarity to the target", GREEN, "validation", "similarity"),
        *line("character error rate", ORANGE, "validation", "character_error"),
    ]
    if conversions:
        panels.append(("Held-out conversions", "cosine, share wrong", conversions))
    rates = {record["epoch"]: record["learning_rate"] for record in history}
    return [*panels, ("Learning rate at the end of the epoch", "rate", [("", GREY, rates)])]
