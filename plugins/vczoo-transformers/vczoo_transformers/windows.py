"""Long recordings in windows: (B, time) in, (B * windows, window) out; and the frames of the windows, joined, back.

A transformer's attention grows with the square of its input, and Whisper's positions end at 30 s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["Windows", "by_rows"]

FRAMES_AT_ONCE = 3000  # a minute: what bounds the memory of a long recording when nothing is to be learnt from it


@dataclass(frozen=True)
class Windows:
    """How a recording is cut.

    Windows are of one length, so that they make a batch; the last one ends where the recording ends.

    Attributes:
        frames: of a window; a recording of no more frames is not cut.
        context: frames at a cut that are read but not kept.
    """

    frames: int
    context: int

    def starts(self, count: int) -> list[int]:
        """The first frame of each window of a recording of `count` frames."""
        if count <= self.frames:
            return [0]
        step = self.frames - 2 * self.context
        return [*range(0, count - self.frames, step), count - self.frames]

    def cut(self, values: Tensor, count: int, *, per_frame: int = 1, beyond: int = 0) -> Tensor:
        """Cut the last axis: (B, …, S) -> (B * windows, …, S'), the windows of an item side by side.

        Args:
            values: what `count` frames are made of.
            count: frames of the recording.
            per_frame: steps of the axis from one frame to the next.
            beyond: steps that a frame reads past the next frame's first.
        """
        starts = self.starts(count)
        if len(starts) == 1:
            return values
        length = self.frames * per_frame + beyond
        return torch.stack(
            [values[..., first * per_frame : first * per_frame + length] for first in starts], dim=1
        ).flatten(0, 1)

    def join(self, frames: Tensor, count: int) -> Tensor:
        """Undo `cut` on what was made of it: (B * windows, T, C) -> (B, at least `count` frames, C).

        At a cut, each window gives way to the next in the middle of what they share.
        """
        starts = self.starts(count)
        if len(starts) == 1:
            return frames
        frames = frames.reshape(-1, len(starts), *frames.shape[1:])
        seams = [
            0,
            *((left + self.frames + right) // 2 for left, right in pairwise(starts)),
            count,
        ]
        parts = [
            frames[:, index, seams[index] - first : seams[index + 1] - first] for index, first in enumerate(starts)
        ]
        return torch.cat(parts, dim=1)


def by_rows(function: Callable[[Tensor], Tensor], values: Tensor, frames: int) -> Tensor:
    """Apply a function to a batch, some rows at a time where no gradient is wanted: it does not mix rows.

    Args:
        frames: of a row.
    """
    rows = max(1, FRAMES_AT_ONCE // max(1, frames))
    if torch.is_grad_enabled() or values.shape[0] <= rows:
        return function(values)
    return torch.cat([function(part) for part in torch.split(values, rows)])
