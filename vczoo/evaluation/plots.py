"""Plots of an evaluation: speaker similarity before and after, F0 contours, and mel spectrograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vczoo.audio.mel import LogMel
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.evaluation.metrics.f0_contour import HOP_SECONDS, f0_contour
from vczoo.evaluation.report import Scores
from vczoo.io.plotting import (
    BLUE,
    COLORS,
    GREEN,
    GREY,
    INK,
    MARKERS,
    ORANGE,
    PAPER,
    WIDTH_INCHES,
    despine,
    folded,
    legend_below,
    one_axes,
    page,
    save,
    set_title,
)

__all__ = [
    "contours_figure",
    "mels_figure",
    "plot_contours",
    "plot_mels",
    "plot_similarity",
    "similarity_figure",
]

RANGE_DB = 80.0
STYLES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))  # of the contours
FEWEST_TICKS = 2
TICKS_HZ = (60, 80, 100, 125, 150, 200, 250, 300, 400, 500, 600)


def plot_similarity(scores: Sequence[Scores], path: Path) -> Path:
    """Write `similarity_figure` to an image file, and return the file."""
    return save(similarity_figure(scores), path)


def plot_contours(waves: Mapping[str, Waveform], path: Path, title: str) -> Path:
    """Write `contours_figure` to an image file, and return the file."""
    return save(contours_figure(waves, title), path)


def plot_mels(waves: Mapping[str, Waveform], path: Path, title: str) -> Path:
    """Write `mels_figure` to an image file, and return the file."""
    return save(mels_figure(waves, title), path)


def similarity_figure(scores: Sequence[Scores]) -> Any:
    """Plot the cosine to the target against the cosine to the source.

    Each recording is a point, and each system's mean is a large point. A conversion moves a point from the lower right
    to the upper left.

    Args:
        scores: Scores of the systems to compare, each with at least one trial.
    """
    figure, axes = one_axes(WIDTH_INCHES, 5.4)
    colors = iter([color for color in COLORS if color != GREEN] * 8)
    for index, system in enumerate(scores):
        color = {"floor": GREY, "ceiling": GREEN}.get(system.role) or next(colors)
        marker = MARKERS[index % len(MARKERS)]
        x = [row["similarity_to_source"] for row in system.trials]
        y = [row["similarity_to_target"] for row in system.trials]
        axes.scatter(x, y, s=16, color=color, alpha=0.45, linewidths=0, marker=marker)
        axes.scatter(
            [np.mean(x)], [np.mean(y)], s=90, color=color, edgecolors=PAPER, linewidths=1.2, marker=marker, zorder=3
        )
        axes.plot([], [], marker, color=color, label=system.system)
    edges = [*axes.get_xlim(), *axes.get_ylim()]
    low, high = min(edges), min(1.0, max(edges) + 0.02)
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="cosine to the source speaker")
    axes.set(ylabel="cosine to the target", aspect="equal")
    set_title(axes, "Speaker similarity\n(large: mean; above the line: closer to the target)")
    legend_below(axes)
    return figure


def contours_figure(waves: Mapping[str, Waveform], title: str) -> Any:
    """Plot F0 over time of each waveform, on a logarithmic scale, on which equal steps are equal intervals.

    Args:
        waves: Waveforms (1, S) by their label in the legend; at most four.
        title: Title of the plot.
    """
    figure, axes = one_axes(WIDTH_INCHES, 2.8)
    for (label, wave), color, style in zip(waves.items(), [GREY, BLUE, GREEN, ORANGE], STYLES, strict=False):
        f0_hz = f0_contour(wave)
        times = np.arange(f0_hz.size) * HOP_SECONDS
        axes.plot(times, np.where(f0_hz > 0, f0_hz, np.nan), color=color, lw=1.6, linestyle=style, label=label)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = [hz for hz in TICKS_HZ if low <= hz <= high]
    if len(ticks) < FEWEST_TICKS:
        ticks = [round(float(hz)) for hz in np.geomspace(low, high, 5)[1:-1]]
    axes.set_yticks(ticks, [str(hz) for hz in ticks])
    axes.minorticks_off()
    axes.set(xlabel="time in s", ylabel="F0 in Hz")
    set_title(axes, title)
    legend_below(axes)
    return figure


def mels_figure(waves: Mapping[str, Waveform], title: str) -> Any:
    """Plot the log-mel spectrograms of waveforms below each other, with the same time and loudness scales.

    Args:
        waves: Waveforms (1, S) by their title.
        title: Title of the whole figure; "" for none.
    """
    spec = MelSpec()
    # In dB relative to the loudest value of all; anything 80 dB below it is drawn as silence.
    mels = {
        label: LogMel(spec)(wave.resample(spec.sample_rate_hz)).values[0].T.numpy() * 20 / np.log(10)
        for label, wave in waves.items()
    }
    loudest = max(float(mel.max()) for mel in mels.values())
    seconds = max(mel.shape[1] for mel in mels.values()) * spec.hop_length / spec.sample_rate_hz
    figure = page(WIDTH_INCHES, 1.5 * len(mels) + 0.8)
    grid = figure.subplots(len(mels), 1, sharex=True, squeeze=False)
    for axes, (label, mel) in zip(grid[:, 0], mels.items(), strict=True):
        image = axes.imshow(
            mel - loudest,
            origin="lower",
            aspect="auto",
            cmap="magma",
            interpolation="nearest",
            vmin=-RANGE_DB,
            vmax=0.0,
            extent=(0, mel.shape[1] * spec.hop_length / spec.sample_rate_hz, 0, spec.num_mels),
        )
        despine(axes)
        axes.set(xlim=(0, seconds), yticks=[0, 40, 80], ylabel="mel band", facecolor="black")
        set_title(axes, label)
    grid[-1, 0].set_xlabel("time in s")
    figure.suptitle(folded(title), x=0.02, ha="left", fontsize=10, color=INK)
    bar = figure.colorbar(image, cax=grid[-1, 0].inset_axes([1.015, 0.0, 0.015, 1.0]), ticks=[-RANGE_DB, -40, 0])
    bar.set_label("level in dB", size=8, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK, color=GREY)
    bar.outline.set_visible(False)
    return figure
