"""Windows with context: long recordings cut into windows of equal length, and the frames of the windows joined.

The cost of attention grows with the square of the length, and the positions of some models end at 30 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["Windows"]


@dataclass(frozen=True)
class Windows:
    """The way recordings are cut into windows.

    All windows have the same length, so they form a batch. The last one ends with the recording.

    Attributes:
        frames: The number of frames in a window. A recording with no more frames is not cut.
        context: The number of frames at each cut that are computed but dropped.
    """

    frames: int
    context: int

    def starts(self, count: int) -> list[int]:
        """The first frame of each window of a recording of `count` frames."""
        if count <= self.frames:
            return [0]
        step = self.frames - 2 * self.context
        return [*range(0, count - self.frames, step), count - self.frames]

    def seams(self, count: int) -> list[int]:
        """The frames at which one window hands over to the next, in the middle of their overlap, from 0 to `count`."""
        return [0, *((left + self.frames + right) // 2 for left, right in pairwise(self.starts(count))), count]

    def cut(self, values: Tensor, count: int, *, per_frame: int = 1, beyond: int = 0) -> Tensor:
        """Cut the last axis: (B, …, S) -> (B * windows, …, S'), the windows of an item next to each other.

        Args:
            values: The input of `count` frames.
            count: The number of frames of the recording.
            per_frame: The number of steps of the last axis from one frame to the next.
            beyond: The number of steps that a frame covers beyond `per_frame`.
        """
        starts = self.starts(count)
        if len(starts) == 1:
            return values
        length = self.frames * per_frame + beyond
        return torch.stack(
            [values[..., first * per_frame : first * per_frame + length] for first in starts], dim=1
        ).flatten(0, 1)

    def join(self, frames: Tensor, count: int) -> Tensor:
        """Join the frames of windows made by `cut`: (B * windows, T, C) -> (B, at least `count` frames, C).

        Each window hands over to the next in the middle of their overlap.
        """
        starts = self.starts(count)
        if len(starts) == 1:
            return frames
        frames = frames.reshape(-1, len(starts), *frames.shape[1:])
        seams = self.seams(count)
        parts = [
            frames[:, index, seams[index] - first : seams[index + 1] - first] for index, first in enumerate(starts)
        ]
        return torch.cat(parts, dim=1)
