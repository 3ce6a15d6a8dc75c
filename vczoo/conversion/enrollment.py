"""Doubts about the recordings that a voice is enrolled from: too little speech, or none."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vczoo.audio.waveform import Waveform

__all__ = ["enrollment_doubts"]

LEAST_SECONDS = 1.0  # without the silence at both ends
FRAME_SECONDS = 0.02
STEADY_DB = 1.0  # a tone deviates by 0 dB, noise by 0.4, a single spoken digit by 2.3 or more, a sentence by 10


def enrollment_doubts(waves: Sequence[Waveform]) -> list[str]:
    """Return a sentence for each reason why recordings hardly describe a voice; none if they seem fine.

    Args:
        waves: All recordings of one voice.
    """
    parts = [part for wave in waves for part in wave.trim().parts()]
    seconds = sum(part.seconds for part in parts)
    doubts = []
    if seconds < LEAST_SECONDS:
        doubts.append(f"{seconds:.1f} s of sound is too short to describe a voice; use half a minute of speech")
    if parts and all(_deviation_db(part) < STEADY_DB for part in parts):
        doubts.append("the level never changes, as in a tone or in noise; is this a recording of speech?")
    return doubts


def _deviation_db(wave: Waveform) -> float:
    """Standard deviation of the level over frames of 20 ms, in dB; that of a single item."""
    frame = round(FRAME_SECONDS * wave.sample_rate_hz)
    samples = wave.samples[0, : wave.samples.shape[1] // frame * frame]
    samples = samples - samples.mean()  # an offset would hide the level of the sound
    levels_db = 10 * torch.log10(samples.reshape(-1, frame).square().mean(dim=1) + 1e-10)
    return float(levels_db.std(correction=0)) if len(levels_db) else 0.0
