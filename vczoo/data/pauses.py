"""Cutting a long recording into pieces of sentence length, at the pauses between words."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from vczoo.audio.waveform import Waveform

__all__ = ["FRAME_SECONDS", "cut_at_pauses", "frame_levels"]

SHORTEST_SECONDS, LONGEST_SECONDS = 3.0, 9.0  # of a piece; around six seconds, the length of a read sentence
FRAME_SECONDS = 0.02
PAUSE_FRAMES = 11  # a cut is in the middle of the quietest 0.22 s
SILENCE_DB = 40.0  # a piece that is so far below the loudest frame of the recording holds no speech


def cut_at_pauses(wave: Waveform) -> list[tuple[float, float]]:
    """Cut a recording into pieces of 3 to 9 seconds, at the quietest places. Pieces without speech are left out.

    Args:
        wave: One recording, (1, S). Up to 9 s it stays whole.

    Returns:
        Start and end of each piece in seconds, in order, rounded to milliseconds.
    """
    loudness = frame_levels(wave)
    seconds = len(loudness) * FRAME_SECONDS
    smooth = torch.nn.functional.avg_pool1d(
        loudness[None], PAUSE_FRAMES, stride=1, padding=PAUSE_FRAMES // 2, count_include_pad=False
    )[0]
    shortest, longest = round(SHORTEST_SECONDS / FRAME_SECONDS), round(LONGEST_SECONDS / FRAME_SECONDS)
    cuts = [0]
    while len(smooth) - cuts[-1] > longest:
        # The last piece must not be too short, either.
        window = smooth[cuts[-1] + shortest : min(cuts[-1] + longest, len(smooth) - shortest)]
        cuts.append(cuts[-1] + shortest + int(window.argmin()))
    cuts.append(len(smooth))
    threshold = float(loudness.max()) * 10 ** (-SILENCE_DB / 20)
    end = min(seconds, wave.seconds)
    return [
        (round(first * FRAME_SECONDS, 3), round(min(last * FRAME_SECONDS, end), 3))
        for first, last in pairwise(cuts)
        if float(loudness[first:last].max()) >= threshold
    ]


def frame_levels(wave: Waveform) -> Tensor:
    """RMS of each frame, (T,). An incomplete frame at the end belongs to the last one."""
    samples = wave.samples[0]
    frame = max(1, round(FRAME_SECONDS * wave.sample_rate_hz))
    count = max(1, len(samples) // frame)
    padded = torch.nn.functional.pad(samples, (0, max(0, count * frame - len(samples))))
    return padded[: count * frame].view(count, frame).square().mean(dim=1).sqrt()
