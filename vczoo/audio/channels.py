"""Mixing the channels of a recording down to one, and noticing stereo that an average would spoil."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vczoo.audio.decoder import AudioBlock
from vczoo.errors import AudioError

__all__ = ["CHANNELS", "Downmix", "choose_downmix"]

CHANNELS = ("left", "right", "mix")
SILENT_DB = -40.0  # a channel this far below the other one is silent
CANCELLING_DB = -15.0  # channels whose average is this far below them cancel out
ALONE_DB = -20.0  # in a window in which one channel is this far below the other, only one person speaks
WINDOW_SECONDS = 0.5
TALKING_SHARE = 0.1  # of the windows with sound; if each channel is alone in this many, two people speak
QUIET_DB = -40.0  # below the loudest window; quieter ones are pauses

Samples = np.ndarray[tuple[int], np.dtype[np.float32]]


@dataclass(frozen=True)
class Downmix:
    """How channels become one.

    Attributes:
        channel: Index of the channel to use. None averages all of them.
        note: A sentence for the user on what was chosen and why; "" if nothing was unusual.
    """

    channel: int | None = None
    note: str = ""

    def __call__(self, block: AudioBlock) -> Samples:
        """Mix a block: (S, C) -> (S,)."""
        mixed: Samples = block.mean(axis=1) if self.channel is None else np.ascontiguousarray(block[:, self.channel])
        return mixed


def choose_downmix(
    blocks: Iterable[AudioBlock], num_channels: int, sample_rate_hz: int, channel: str | None = None
) -> Downmix:
    """Choose how to mix a recording down.

    Args:
        blocks: The recording (S, C) in blocks. They are read only if it has two channels and `channel` is None.
        num_channels: Number of channels.
        sample_rate_hz: Sample rate in Hz.
        channel: "left", "right" or "mix" (the average). None averages, unless the average would lose the speech:
            if one channel is silent or the two cancel out, the louder channel is used.

    Raises:
        AudioError: `channel` is another word, or names a channel that the recording does not have.
    """
    if channel is not None and channel not in CHANNELS:
        raise AudioError(f"channel is one of {', '.join(CHANNELS)}, got {channel!r}")
    if channel == "right" and num_channels < 2:
        raise AudioError("it has only one channel, so there is no right one; leave out the channel")
    if channel in ("left", "right"):
        return Downmix(CHANNELS.index(channel))
    if channel == "mix" or num_channels != 2:
        return Downmix()
    return _choose_for_stereo(blocks, sample_rate_hz)


def _choose_for_stereo(blocks: Iterable[AudioBlock], sample_rate_hz: int) -> Downmix:
    powers = _window_powers(blocks, max(1, round(WINDOW_SECONDS * sample_rate_hz)))
    if not len(powers):
        return Downmix()
    left, right, mixed = powers.mean(axis=0)
    louder = int(right > left)
    strong, weak = max(left, right), min(left, right)
    name, other = CHANNELS[louder], CHANNELS[1 - louder]
    if strong <= 0:
        return Downmix()
    if weak < strong * _power(SILENT_DB):
        return Downmix(louder, f"the {other} channel is silent, so only the {name} one is used")
    if mixed < (left + right) / 2 * _power(CANCELLING_DB):
        return Downmix(
            louder,
            f"its two channels cancel out when they are averaged, so only the {name} one is used; "
            "choose with channel left, right or mix",
        )
    loud = powers[powers[:, :2].max(axis=1) > powers[:, :2].max() * _power(QUIET_DB)]
    alone = [float((loud[:, 1 - side] < loud[:, side] * _power(ALONE_DB)).mean()) for side in (0, 1)]
    if min(alone) >= TALKING_SHARE:
        return Downmix(
            None,
            "left and right hold different speech, perhaps of two people, and were averaged; "
            "choose one with channel left or right",
        )
    return Downmix()


def _window_powers(blocks: Iterable[AudioBlock], window: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Mean power of left, right and their average in each window: (W, 3). The last window may be incomplete."""
    rows: list[list[float]] = []
    rest = np.zeros((0, 2), np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        count = len(rest) // window
        rows += [_powers(part) for part in rest[: count * window].reshape(count, window, 2)]
        rest = rest[count * window :]
    if len(rest):
        rows.append(_powers(rest))
    return np.array(rows).reshape(-1, 3)


def _powers(part: AudioBlock) -> list[float]:
    left, right = part[:, 0].astype(np.float64), part[:, 1].astype(np.float64)
    return [float(np.mean(np.square(values))) for values in (left, right, (left + right) / 2)]


def _power(decibels: float) -> float:
    return float(10.0 ** (decibels / 10))
