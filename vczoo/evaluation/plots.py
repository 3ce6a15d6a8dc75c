"""Plots of an evaluation: speaker similarity before and after, F0 contours, and mel spectrograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vczoo.audio.mel import LogMel
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.evaluation.metrics.f0_contour import HOP_SECONDS, f0_contour
from vczoo.evaluation.report import Scores
from vczoo.io.plotting import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, despine, one_axes, page, save, set_title

__all__ = ["plot_contours", "plot_mels", "plot_similarity"]

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
RANGE_DB = 80.0
TICKS_HZ = (60, 80, 100, 125, 150, 200, 250, 300, 400, 500, 600)


def plot_similarity(scores: Sequence[Scores], path: Path) -> Path:
    """Plot the cosine to the target against the cosine to the source.

    Each recording is a point, and each system's mean is a large point. A conversion moves a point from the lower right
    to the upper left.

    Args:
        scores: Scores of the systems to compare.
        path: Image file to write.

    Returns:
        The file that was written.
    """
    figure, axes = one_axes(6.4, 5.2)
    colors = iter([BLUE, ORANGE, PURPLE, INK, "#a33b54", "#5f8f8f"] * 8)
    for index, system in enumerate(scores):
        color = {"floor": GREY, "ceiling": GREEN}.get(system.role) or next(colors)
        marker = MARKERS[index % len(MARKERS)]
        x = [row["similarity_to_source"] for row in system.trials]
        y = [row["similarity_to_target"] for row in system.trials]
        axes.scatter(x, y, s=14, color=color, alpha=0.3, linewidths=0, marker=marker)
        axes.scatter(
            [np.mean(x)], [np.mean(y)], s=90, color=color, edgecolors="white", linewidths=1.2, marker=marker, zorder=3
        )
        axes.plot([], [], marker, color=color, label=system.system)
    edges = [*axes.get_xlim(), *axes.get_ylim()]
    low, high = min(edges), min(1.0, max(edges) + 0.02)
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="cosine to the source speaker")
    axes.set(ylabel="cosine to the target", aspect="equal")
    set_title(axes, "Speaker similarity (large: mean; above the line: closer to the target)")
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=9)
    return save(figure, path)


def plot_contours(waves: Mapping[str, Waveform], path: Path, title: str) -> Path:
    """Plot F0 over time of each waveform, on a logarithmic scale, on which equal steps are equal intervals.

    Args:
        waves: Waveforms (1, S) by their label in the legend.
        path: Image file to write.
        title: Title of the plot.

    Returns:
        The file that was written.
    """
    figure, axes = one_axes(8.0, 3.2)
    for (label, wave), color in zip(waves.items(), [GREY, BLUE, GREEN, ORANGE], strict=False):
        f0_hz = f0_contour(wave)
        axes.plot(
            np.arange(f0_hz.size) * HOP_SECONDS, np.where(f0_hz > 0, f0_hz, np.nan), color=color, lw=1.6, label=label
        )
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = [hz for hz in TICKS_HZ if low <= hz <= high]
    axes.set_yticks(ticks, [str(hz) for hz in ticks])
    axes.minorticks_off()
    axes.set(xlabel="seconds", ylabel="F0 in Hz")
    set_title(axes, title)
    axes.legend(frameon=False, ncols=len(waves), loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=9)
    return save(figure, path)


def plot_mels(waves: Mapping[str, Waveform], path: Path, title: str) -> Path:
    """Plot the log-mel spectrograms of waveforms below each other, with the same time and loudness scales.

    Args:
        waves: Waveforms (1, S) by their title.
        path: Image file to write.
        title: Title of the whole figure.

    Returns:
        The file that was written.
    """
    spec = MelSpec()
    # In dB relative to the loudest value of all; anything 80 dB below it is drawn as silence.
    mels = {
        label: LogMel(spec)(wave.resample(spec.sample_rate_hz)).values[0].T.numpy() * 20 / np.log(10)
        for label, wave in waves.items()
    }
    loudest = max(float(mel.max()) for mel in mels.values())
    seconds = max(mel.shape[1] for mel in mels.values()) * spec.hop_length / spec.sample_rate_hz
    figure = page(8.0, 1.75 * len(mels) + 0.6)
    grid = figure.subplots(len(mels), 1, sharex=True, squeeze=False)
    for axes, (label, mel) in zip(grid[:, 0], mels.items(), strict=True):
        axes.imshow(
            mel,
            origin="lower",
            aspect="auto",
            cmap="magma",
            interpolation="nearest",
            vmin=loudest - RANGE_DB,
            vmax=loudest,
            extent=(0, mel.shape[1] * spec.hop_length / spec.sample_rate_hz, 0, spec.num_mels),
        )
        axes.set(xlim=(0, seconds), yticks=[0, 40, 80], ylabel="mel band", facecolor="black")
        set_title(axes, label)
        despine(axes)
    grid[-1, 0].set_xlabel("seconds")
    figure.suptitle(title, x=0.02, ha="left", fontsize=10, color=INK)
    return save(figure, path)
