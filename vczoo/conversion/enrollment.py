"""Recordings that a voice is enrolled from: doubts about them, and what more of them would buy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from vczoo.audio.waveform import Waveform
from vczoo.io.install_advice import pip_install

__all__ = ["enrollment_doubts", "level_range_db", "more_speech", "speech_length", "speech_seconds"]

LEAST_SECONDS = 1.0  # without the silence at both ends
FRAME_SECONDS = 0.02
STEADY_DB = 1.0  # a tone deviates by 0 dB, noise by 0.4, a single spoken digit by 2.3 or more, a sentence by 10
# From the soft frames to the loud ones: 18 to 50 dB for readers of LibriSpeech and VCTK, at most 13 in noise of 5 dB.
NOISY_DB = 15.0
PAUSE_SECONDS = 8.0  # nobody speaks longer without a pause, in which the background can be heard
SOFT_SHARE, LOUD_SHARE = 0.1, 0.95
WINDOW_SECONDS = 3.0
MOST_WINDOWS = 64
SOFT = 0.3  # windows softer than this share of the loudest hold too little speech
# Cosine of the two halves of 24 s: 0.89 to 0.96 for one reader; for two, 0.21 to 0.81, or 0.92 if they are alike.
ONE_SPEAKER = 0.85
LEAST_SHARE = 0.1
# Seconds of speech, and the similarity (Resemblyzer) of conversions by `base` to six readers enrolled from that much.
# 30 and 60 s give no more than 15.
SIMILARITY = ((1.0, 0.706), (2.0, 0.738), (4.0, 0.746), (8.0, 0.770), (15.0, 0.778))

Embed = Callable[[Waveform], Tensor]


def enrollment_doubts(waves: Sequence[Waveform], embed: Embed | None = None) -> list[str]:
    """Return a sentence for each reason why recordings hardly describe a voice; none if they seem fine.

    Args:
        waves: All recordings of one voice, at one rate.
        embed: Computes speaker embeddings of length 1, (B, S) -> (B, E). None if there are none that can tell speakers
            apart.
    """
    parts = [part for wave in waves for part in wave.trim().parts()]
    seconds = sum(part.seconds for part in parts)
    doubts = []
    if seconds < LEAST_SECONDS:
        doubts.append(f"{seconds:.1f} s of sound is too short to describe a voice; use half a minute of speech")
    if parts and all(_deviation_db(part) < STEADY_DB for part in parts):
        doubts.append("the level never changes, as in a tone or in noise; is this a recording of speech?")
    elif seconds >= PAUSE_SECONDS and level_range_db(parts) < NOISY_DB:
        doubts.append(
            "the background is hardly softer than the speech, and noise becomes part of a voice. Use recordings from a "
            f"quiet room, or remove the noise: `vczoo enroll --denoise` ({pip_install(extra='denoise')})"
        )
    if embed and len(windows := _windows(parts)) > 1:
        cosine, share = _halves(embed(Waveform.batch(windows)))
        if cosine < ONE_SPEAKER and share >= LEAST_SHARE:
            doubts.append(
                f"{share:.0%} of the speech sounds like another speaker, or like another microphone or room; "
                "the voice will be a mix of both. Use recordings of one speaker"
            )
    return doubts


def speech_seconds(waves: Sequence[Waveform]) -> float:
    """Return the seconds of recordings together, without the silence at both ends of each."""
    return sum(part.seconds for wave in waves for part in wave.trim().parts())


def speech_length(seconds: float) -> str:
    """Return a number of seconds in words, with one decimal below ten."""
    return f"{seconds:.{1 if seconds < 9.95 else 0}f} s of speech"


def more_speech(seconds: float) -> str:
    """Return a sentence on what more speech would buy a voice that is enrolled from this many seconds.

    The figures are those of the bundled model, for a voice without tuning.
    """
    enough, best = SIMILARITY[-1]
    if seconds >= enough:
        return (
            f"{speech_length(seconds)}: more would hardly improve a voice that is only enrolled; tuning the model "
            "on a minute of speech would"
        )
    gain = best - _similarity(seconds)
    return (
        f"{speech_length(seconds)}: {enough:.0f} s or more would make conversions about {gain:.2f} more similar to "
        "the speaker (cosine, 1 at most)"
    )


def _similarity(seconds: float) -> float:
    """The similarity for a length below the longest in `SIMILARITY`, interpolated over log-seconds."""
    seconds = max(seconds, SIMILARITY[0][0])
    for (short, low), (long, high) in pairwise(SIMILARITY):
        if seconds <= long:
            return low + (high - low) * math.log(seconds / short) / math.log(long / short)
    return SIMILARITY[-1][1]


def _windows(parts: Sequence[Waveform]) -> list[Waveform]:
    """Cut recordings into windows of three seconds that overlap by half, at most `MOST_WINDOWS`; no soft ones."""
    windows = []
    for part in parts:
        length = round(WINDOW_SECONDS * part.sample_rate_hz)
        if part.samples.shape[1] >= length:
            windows += [Waveform.of(row, part.sample_rate_hz) for row in part.samples[0].unfold(0, length, length // 2)]
    if len(windows) > MOST_WINDOWS:
        windows = [windows[index * len(windows) // MOST_WINDOWS] for index in range(MOST_WINDOWS)]
    levels = [float(window.samples.square().mean().sqrt()) for window in windows]
    return [window for window, level in zip(windows, levels, strict=True) if level > SOFT * max(levels)]


def _halves(embeddings: Tensor) -> tuple[float, float]:
    """Split embeddings (N, E) of length 1 in two by spherical 2-means, the best of N starts.

    Returns:
        The cosine of the means of both halves, and the share of the smaller half; 1 and 0 if there is no such split.
    """
    best, closest = (1.0, 0.0), -1.0
    farthest = (embeddings @ embeddings.T).argmin(dim=1)
    for start in range(len(embeddings)):
        centers = embeddings[[start, int(farthest[start])]]
        second = (embeddings @ centers.T).argmax(dim=1).bool()
        for _ in range(len(embeddings)):  # it settles after a few rounds, but rounding might make it swing
            if second.all() or not second.any():
                break
            centers = torch.stack([F.normalize(embeddings[half].mean(dim=0), dim=0) for half in (~second, second)])
            cosines = embeddings @ centers.T
            moved = cosines.argmax(dim=1).bool()
            if torch.equal(moved, second):
                if (closeness := float(cosines.amax(dim=1).mean())) > closest:
                    share = float(second.float().mean())
                    best, closest = (float(centers[0] @ centers[1]), min(share, 1 - share)), closeness
                break
            second = moved
    return best


def _deviation_db(wave: Waveform) -> float:
    """Standard deviation of the level over frames of 20 ms, in dB; that of a single item."""
    levels_db = _levels_db(wave)
    return float(levels_db.std(correction=0)) if len(levels_db) else 0.0


def level_range_db(waves: Sequence[Waveform]) -> float:
    """Level of the loud frames of 20 ms above that of the soft ones, in dB, in recordings of one item each."""
    levels_db = torch.cat([_levels_db(wave) for wave in waves])
    return float(levels_db.quantile(LOUD_SHARE) - levels_db.quantile(SOFT_SHARE)) if len(levels_db) else 0.0


def _levels_db(wave: Waveform) -> Tensor:
    """Level of each frame of 20 ms, in dB."""
    frame = round(FRAME_SECONDS * wave.sample_rate_hz)
    samples = wave.samples[0, : wave.samples.shape[1] // frame * frame]
    samples = samples - samples.mean()  # an offset would hide the level of the sound
    return 10 * torch.log10(samples.reshape(-1, frame).square().mean(dim=1) + 1e-10)
