"""What the clips of a new voice are worth: speech, level, noise, and whether more than one person speaks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from vczoo.audio.waveform import Waveform
from vczoo.conversion.enrollment import enrollment_doubts, level_range_db, more_speech, speech_seconds

__all__ = ["ClipWorth", "clip_worth", "together"]

SOFT_DBFS, CLIPPED = -38.0, 0.999
CLIPPED_SHARE = 1e-4

Embed = Callable[[Waveform], Tensor]


class ClipWorth(NamedTuple):
    """What one clip is worth.

    Attributes:
        name: Its name.
        speech_seconds: Its length without the silence at both ends.
        level_dbfs: Its level, in dB below full scale.
        range_db: How far the loud parts are above the soft ones, which noise fills.
        remarks: What speaks against it, in sentences; none if it is good.
    """

    name: str
    speech_seconds: float
    level_dbfs: float
    range_db: float
    remarks: tuple[str, ...]


def clip_worth(name: str, wave: Waveform, embed: Embed | None = None) -> ClipWorth:
    """Measure one clip.

    Args:
        name: Its name.
        wave: The clip, (1, S).
        embed: Computes speaker embeddings of length 1, (B, S) -> (B, E); None if there are none that can tell speakers
            apart.
    """
    trimmed = wave.trim()
    samples = trimmed.samples[0]
    level_dbfs = 10 * math.log10(float(samples.square().mean()) + 1e-10)
    remarks = enrollment_doubts([wave], embed)
    if float((samples.abs() > CLIPPED).float().mean()) > CLIPPED_SHARE:
        remarks.append("the loudest samples are cut off; record further from the microphone, or with less gain")
    elif level_dbfs < SOFT_DBFS:
        remarks.append("very soft; record closer to the microphone")
    return ClipWorth(name, speech_seconds([wave]), level_dbfs, level_range_db([trimmed]), tuple(remarks))


def together(waves: Sequence[Waveform], embed: Embed | None = None) -> list[str]:
    """What all clips together are worth, in sentences: the speech, and doubts that only show between clips.

    Args:
        waves: The clips, at least one, at one rate.
        embed: As for `clip_worth`.
    """
    alone = {doubt for wave in waves for doubt in enrollment_doubts([wave], embed)} if len(waves) > 1 else set()
    doubts = [doubt for doubt in enrollment_doubts(waves, embed) if doubt not in alone]
    return [f"{more_speech(speech_seconds(waves))}.", *doubts]
