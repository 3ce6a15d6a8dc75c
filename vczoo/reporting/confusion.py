"""Confusion matrices of the speaker and label heads of a run, on held-out recordings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vczoo.conversion.converter import Converter
from vczoo.io.plotting import BLUE, INK, WIDTH_INCHES, despine, page, set_title
from vczoo.io.text import counted
from vczoo.reporting.blocks import Block, Figure, Section, Table, Text
from vczoo.reporting.figures import inline_svg, shortened
from vczoo.reporting.recordings import Reading

__all__ = ["confusion_figure", "confusion_section", "matrix_of", "wilson"]

MOST_CLASSES = 40  # of a plot
PALEST, SHADES = 0.1, 0.6  # opacity of a cell: its number has a contrast of 4.5 on a light and on a dark page
NUMBERED_CLASSES = 12  # of a plot that has its numbers in it


def confusion_section(converter: Converter, readings: Sequence[Reading], reason: str) -> Section:
    """The section on what the heads recognize.

    Args:
        converter: The run.
        readings: What its heads make of held-out recordings.
        reason: Why there are no readings; empty if there are some.
    """
    model = converter.model
    classes: dict[str, tuple[str, ...]] = dict.fromkeys(model.speaker_heads, converter.speakers)
    classes |= {name: tuple(head.labels) for name, head in model.label_heads.items() if converter.labels}
    several = {name: names for name, names in classes.items() if len(names) > 1}
    blocks: list[Block] = []
    for number, (head, names) in enumerate(several.items()):
        blocks += _head(head, names, readings, f"confusion{number}", by_label=head in model.label_heads)
    if not several:
        only = next(iter(classes.values()), ())
        of = f" {only[0]} is the only one it could name." if len(only) == 1 else ""
        blocks = [Text(f"No head of this run tells classes apart.{of}")]
    elif not blocks:
        blocks = [Text(reason or "None of the held-out recordings is of a class that the run was trained on.")]
    return Section("recognition", "What it recognizes", tuple(blocks))


def _head(
    head: str, names: Sequence[str], readings: Sequence[Reading], name: str, *, by_label: bool
) -> Iterator[Block]:
    """The blocks of one head; none if no recording is of a class that it knows."""
    pairs = [(r.utterance.label if by_label else r.utterance.speaker, r.classes[head]) for r in readings]
    matrix = matrix_of(names, [(truth, predicted) for truth, predicted in pairs if truth in names])
    total = int(matrix.sum())
    if not total:
        return
    right = int(np.trace(matrix))
    low, high = wilson(right, total)
    what = "labels" if by_label else "speakers"
    yield Text(
        f"The head {head} names {right} of {counted(total, 'held-out recording')} correctly: {right / total:.3f}, with "
        f"a 95% interval from {low:.3f} to {high:.3f} (Wilson). Guessing among {len(names)} {what} would reach "
        f"{1 / len(names):.3f}."
    )
    seen = [index for index in range(len(names)) if matrix[index].sum() or matrix[:, index].sum()]
    if len(seen) <= MOST_CLASSES:
        part = matrix[np.ix_(seen, seen)]
        figure = confusion_figure([names[index] for index in seen], part, f"Confusion matrix of the head {head}")
        caption = "Each row is a true class, each column what the head said; the numbers count recordings."
        alternative = f"Confusion matrix of the head {head}: {right} of {total} recordings are on the diagonal."
        yield Figure(inline_svg(figure, name, alternative), f"{caption} A perfect head fills only the diagonal.")
    rows = tuple(_recall(names, matrix, index) for index in seen if matrix[index].sum())[:MOST_CLASSES]
    yield Table(
        f"Recall of the head {head}", (what[:-1], "recordings", "named correctly", "most often taken for"), rows
    )


def matrix_of(names: Sequence[str], pairs: Sequence[tuple[str, int]]) -> NDArray[np.int64]:
    """Count the pairs of a true class and a predicted number: (true, predicted), both (N, N)."""
    matrix = np.zeros((len(names), len(names)), dtype=np.int64)
    places = {name: index for index, name in enumerate(names)}
    for truth, predicted in pairs:
        matrix[places[truth], predicted] += 1
    return matrix


def confusion_figure(names: Sequence[str], matrix: NDArray[np.int64], title: str) -> Any:
    """Draw a confusion matrix, each cell as dark as its share of the row.

    Args:
        names: The classes.
        matrix: The counts (N, N): true, predicted.
        title: Title of the plot.
    """
    from matplotlib.patches import Rectangle

    count = len(names)
    size = min(WIDTH_INCHES, max(3.0, 1.9 + 0.42 * count))
    figure = page(size, size * 0.9)
    axes = figure.subplots()
    despine(axes)
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    for row, column in np.argwhere(matrix > 0):
        share = float(shares[row, column])
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=BLUE, alpha=PALEST + SHADES * share, lw=0))
        if count <= NUMBERED_CLASSES:
            axes.text(column, row, int(matrix[row, column]), ha="center", va="center", fontsize=9, color=INK)
    labels = [shortened(name) for name in names]
    letters = 8 if count <= 20 else 6
    axes.set_xticks(range(count), labels, rotation=45 if count > 3 else 0, ha="right" if count > 3 else "center")
    axes.set_yticks(range(count), labels)
    axes.tick_params(labelsize=letters)
    axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5), xlabel="predicted", ylabel="true", aspect="equal")
    set_title(axes, title)
    return figure


def wilson(right: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share, at 95% by default (Wilson 1927)."""
    share, square = right / total, z * z / total
    center = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / total + square / (4 * total)) / (1 + square)
    return max(0.0, center - half), min(1.0, center + half)


def _recall(names: Sequence[str], matrix: NDArray[np.int64], index: int) -> tuple[str, ...]:
    row = matrix[index]
    wrong = [(int(row[other]), names[other]) for other in range(len(names)) if other != index and row[other]]
    taken_for = max(wrong, key=lambda pair: pair[0])[1] if wrong else "none"
    return names[index], str(row.sum()), f"{row[index] / row.sum():.3f}", taken_for
