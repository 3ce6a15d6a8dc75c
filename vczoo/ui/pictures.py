"""Pictures of a page: mels and pitch of a source and its conversion, and the curves of a fine-tune."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vczoo.audio.mel import LogMel
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.evaluation.metrics.f0_contour import HOP_SECONDS, f0_contour
from vczoo.io.plotting import BLUE, GREEN, GREY, INK, ORANGE, add_grid, despine, page, save, set_title
from vczoo.ui.step_losses import thinned

__all__ = ["curves_svg", "draw_pair"]

RANGE_DB = 80.0
MOST_POINTS = 200  # of the curve of steps
TICKS_HZ = (60, 80, 100, 125, 150, 200, 250, 300, 400, 500, 600)
_DRAWING = threading.Lock()  # Matplotlib's fonts and text are not safe to use from several threads


def draw_pair(source: Waveform, result: Waveform, path: Path) -> Path:
    """Draw the mels of a source and its conversion below each other, and both pitch contours, over one time axis.

    Raises:
        OSError: The disk cannot be written.
    """
    spec = MelSpec()
    with _DRAWING:
        figure = page(7.0, 5.4)
        rows = figure.subplots(3, 1, sharex=True, height_ratios=[1, 1, 1.1])
        mels = [_mel_db(wave, spec) for wave in (source, result)]
        loudest = max(float(mel.max()) for mel in mels)
        for axes, mel, title in zip(rows, mels, ("A: source", "B: converted"), strict=False):
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
            axes.set(yticks=[0, 40, 80], ylabel="mel band", facecolor="black")
            set_title(axes, title)
            despine(axes)
        _draw_contours(rows[2], {"A: source": (source, GREY, "--"), "B: converted": (result, BLUE, "-")})
        rows[0].set_xlim(0, max(source.seconds, result.seconds))
        return save(figure, path)


def curves_svg(history: Sequence[Mapping[str, Any]], losses: Sequence[tuple[float, float]] = ()) -> str:
    """Draw loss, similarity and wrong characters on held-out speech by epoch, and the training loss by step.

    Args:
        history: The record of each epoch, as in metrics.jsonl.
        losses: The training loss of each step, with the epochs that were done by then, a fraction. If it is empty,
            there is at least one record.

    Returns:
        SVG text, an element for each of the plots.
    """
    figures = [
        ("Loss", [("training", GREY, "--", "train", "loss"), ("held out", BLUE, "-", "validation", "loss")], None),
        ("Similarity to the voice", [("", GREEN, "-", "validation", "similarity")], None),
        ("Wrong characters", [("", ORANGE, "-", "validation", "character_error")], 0.0),
    ]
    shown = [
        (title, lines, bottom)
        for title, lines, bottom in figures
        if title == "Loss" or any(name in record.get(split, {}) for record in history for *_, split, name in lines)
    ]
    with _DRAWING:
        return "".join(_panel(title, lines, bottom, history, losses) for title, lines, bottom in shown)


def _panel(
    title: str,
    lines: Sequence[tuple[str, str, str, str, str]],
    bottom: float | None,
    history: Sequence[Mapping[str, Any]],
    losses: Sequence[tuple[float, float]],
) -> str:
    """One of the plots, as an SVG of its own, so that they stand below each other on a narrow page."""
    figure = page(3.1, 2.5)
    axes = figure.subplots()
    despine(axes)
    add_grid(axes)
    if title == "Loss" and losses:
        steps = thinned(list(losses), MOST_POINTS)
        axes.plot(*zip(*steps, strict=True), color=GREY, lw=0.8, alpha=0.6, label="each step")
    for label, color, style, split, name in lines:
        points = [(record["epoch"] + 1, record[split][name]) for record in history if name in record[split]]
        if points:
            axes.plot(*zip(*points, strict=True), style, color=color, lw=1.6, marker="o", ms=3, label=label)
    axes.set_xlabel("epoch", color=INK, fontsize=9)
    if history:
        axes.xaxis.get_major_locator().set_params(integer=True)
    if bottom is not None:
        axes.set_ylim(bottom, 1.05 * axes.get_ylim()[1])
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=8)
    set_title(axes, title)
    figure.tight_layout()
    text = io.StringIO()
    figure.savefig(text, format="svg", facecolor="white")
    return text.getvalue()[text.getvalue().index("<svg") :]


def _mel_db(wave: Waveform, spec: MelSpec) -> np.ndarray[Any, Any]:
    """Log-mel in dB, (num_mels, T)."""
    mel: np.ndarray[Any, Any] = LogMel(spec)(wave.resample(spec.sample_rate_hz)).values[0].T.numpy()
    decibels: np.ndarray[Any, Any] = mel * 20 / np.log(10)
    return decibels


def _draw_contours(axes: Any, contours: Mapping[str, tuple[Waveform, str, str]]) -> None:
    despine(axes)
    add_grid(axes)
    for label, (wave, color, style) in contours.items():
        f0_hz = f0_contour(wave)
        times = np.arange(f0_hz.size) * HOP_SECONDS
        axes.plot(times, np.where(f0_hz > 0, f0_hz, np.nan), style, color=color, lw=1.6, label=label)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = [hz for hz in TICKS_HZ if low <= hz <= high]
    axes.set_yticks(ticks, [str(hz) for hz in ticks])
    axes.minorticks_off()
    axes.set(xlabel="seconds", ylabel="F0 in Hz")
    axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=9)
