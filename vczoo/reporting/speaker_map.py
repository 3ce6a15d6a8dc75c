"""A map of voices and recordings: their speaker embeddings in the two directions in which they differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vczoo.conversion.converter import Converter
from vczoo.io.plotting import COLORS, GREY, INK, MARKERS, PAPER, WIDTH_INCHES, legend_below, one_axes, set_title
from vczoo.io.text import counted
from vczoo.reporting.blocks import Figure, Section, Text
from vczoo.reporting.figures import inline_svg, shortened
from vczoo.reporting.recordings import Reading

__all__ = ["map_figure", "principal_plane", "speaker_section", "voice_embeddings"]

FEWEST = 3  # points that a plane can show
MOST_VOICES = 300
NAMED_VOICES = 12
SECTION = "speakers", "Map of the voices"


def speaker_section(converter: Converter, readings: Sequence[Reading]) -> Section:
    """The section with the map of a run's voices and of held-out recordings."""
    if not converter.model.speaker_heads:
        return Section(*SECTION, (Text("This run has no speaker head, so it has no embeddings of voices to map."),))
    voices = dict(list(voice_embeddings(converter).items())[:MOST_VOICES])
    recordings = [(r.utterance.speaker, r.embedding.numpy()) for r in readings if r.embedding is not None]
    if len(voices) + len(recordings) < FEWEST:
        return Section(*SECTION, (Text("A map needs at least three voices or recordings; here are fewer."),))
    points, share = principal_plane(np.stack([*voices.values(), *(embedding for _, embedding in recordings)]))
    figure = map_figure(list(voices), [speaker for speaker, _ in recordings], points, share)
    what = f"{counted(len(voices), 'voice')} and {counted(len(recordings), 'held-out recording')}"
    alternative = f"Map of the speaker embeddings of {what} in two dimensions."
    caption = (
        f"The speaker embeddings of {what}, in the two directions in which they differ most (principal components), "
        f"which hold {share:.0%} of their variance. Large: a voice; small: a recording. Recordings near the voice of "
        "another speaker are those that the run confuses."
    )
    return Section(*SECTION, (Figure(inline_svg(figure, "map", alternative), caption),))


def voice_embeddings(converter: Converter) -> dict[str, NDArray[np.float32]]:
    """The embedding (E,) of each voice, by the first speaker head."""
    key = f"{next(iter(converter.model.speaker_heads))}.embedding"
    voices = list(converter.run.voices.items())
    return {name: voice.tensors[key].flatten().float().numpy() for name, voice in voices if key in voice.tensors}


def principal_plane(embeddings: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Project embeddings onto their first two principal components: (N, E) -> (N, 2).

    Returns:
        The points, and the share of the variance that they keep.
    """
    centered = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    left, strengths, _ = np.linalg.svd(centered, full_matrices=False)
    points = left[:, :2] * strengths[:2]
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    total = float((strengths**2).sum())
    return points, float((strengths[:2] ** 2).sum()) / total if total else 1.0


def map_figure(voices: Sequence[str], speakers: Sequence[str], points: NDArray[np.float64], share: float) -> Any:
    """Draw voices as large points and recordings as small ones, in the color and shape of their speaker.

    Args:
        voices: The name of each voice.
        speakers: The speaker of each recording.
        points: The place of each voice, then of each recording, (N, 2).
        share: The share of the variance that the plane keeps.
    """
    names = list(dict.fromkeys([*voices, *speakers]))
    looks: Mapping[str, tuple[str, str]] = {
        name: (COLORS[n % len(COLORS)], MARKERS[n % len(MARKERS)]) if n < NAMED_VOICES else (GREY, ".")
        for n, name in enumerate(names)
    }
    figure, axes = one_axes(WIDTH_INCHES, 4.2)
    for (x, y), speaker in zip(points[len(voices) :], speakers, strict=True):
        color, marker = looks[speaker]
        axes.plot([x], [y], marker, color=color, ms=4, alpha=0.7, mew=0)
    for (x, y), voice in zip(points, voices, strict=False):
        color, marker = looks[voice]
        axes.plot([x], [y], marker, color=color, ms=10, mec=PAPER, mew=1.0, zorder=3)
        if len(voices) <= NAMED_VOICES:
            axes.annotate(shortened(voice), (x, y), (6, 6), textcoords="offset points", fontsize=8, color=INK, zorder=4)
    for name in names[:NAMED_VOICES]:
        axes.plot([], [], looks[name][1], color=looks[name][0], label=shortened(name))
    if len(names) > NAMED_VOICES:
        axes.plot([], [], ".", color=GREY, label=f"{len(names) - NAMED_VOICES:,} more")
    axes.margins(0.12)
    axes.set(xlabel="first principal component (an embedding has length 1)", ylabel="second component")
    set_title(axes, f"Speaker embeddings ({share:.0%} of their variance)")
    legend_below(axes, columns=3)
    return figure
