"""Cutting of a stream into overlapping chunks, and overlap-add of the converted chunks.

    chunk:               |---- history ----|======== block ========|-- lookahead --|
    next chunk:                                  |---- history ----|======== block ========|-- lookahead --|
    seam between them:                                             |search|

Positions are in samples from the beginning of the stream. This module only requires that the conversion of a chunk
preserves its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vczoo.errors import ContractError

__all__ = ["Chunk", "ChunkPlan", "Chunker", "CrossfadeJoiner"]

LAG_PENALTY = 0.1  # subtracted from the correlation at the largest lag, so that equal sides, or noise, are not moved


@dataclass(frozen=True)
class ChunkPlan:
    """Lengths, in samples, by which a stream is cut into chunks and joined again.

    Attributes:
        block: New samples of each chunk.
        history: Samples before the block that the chunk contains again.
        lookahead: Samples after the block that the chunk contains already.
        search: Length after the end of a block in which the quietest position is chosen for the seam.
        fade: Length of the crossfade from one chunk to the next.
        lag: The most by which a chunk is moved, in either direction, to match the chunk before it.

    Raises:
        ContractError: A length is negative, block or fade is 0, or history or lookahead is too short for the seam.
    """

    block: int
    history: int
    lookahead: int
    search: int
    fade: int
    lag: int

    def __post_init__(self) -> None:
        if self.block < 1 or self.fade < 1 or min(self.history, self.lookahead, self.search, self.lag) < 0:
            raise ContractError(f"block and fade must be at least 1 sample, and no length may be negative; got {self}")
        if self.lookahead < (needed := self.search + self.fade + 2 * self.lag):
            raise ContractError(
                f"lookahead is {self.lookahead} samples, but the seam (search, fade and twice the lag) needs {needed}"
            )
        if self.history < self.lag:
            raise ContractError(
                f"history is {self.history} samples, but must be at least as long as the lag, {self.lag}"
            )

    @property
    def longest(self) -> int:
        """Length of the longest chunk in samples."""
        return self.history + self.block + self.lookahead


@dataclass(frozen=True)
class Chunk:
    """A block of a stream with its context.

    Attributes:
        samples: History, block and lookahead: (S,).
        start: Position of the first sample.
        end: Position of the block's end. For the last chunk it is the end of the stream.
        last: Whether this is the last chunk.
    """

    samples: Tensor
    start: int
    end: int
    last: bool


class Chunker:
    """Cutter of a stream into chunks. The chunks do not depend on how the stream is split when it is pushed.

    Args:
        plan: Lengths of the chunks.
    """

    def __init__(self, plan: ChunkPlan) -> None:
        self.plan = plan
        self._buffer: list[Tensor] = []
        self._first = 0  # position of the buffer's first sample
        self._count = 0  # number of samples in the buffer
        self._end = 0  # position where the block of the last chunk ended

    def push(self, samples: Tensor) -> Iterator[Chunk]:
        """Add samples (S,) and yield every chunk that they complete."""
        self._buffer.append(samples)
        self._count += len(samples)
        while self._first + self._count >= (stop := self._end + self.plan.block + self.plan.lookahead):
            buffer = self._merge_buffer()
            yield self._cut(buffer[: stop - self._first], last=False)

    def finish(self) -> Iterator[Chunk]:
        """Yield the last chunk, with all remaining samples; nothing if none remain."""
        if self._first + self._count > self._end:
            yield self._cut(self._merge_buffer(), last=True)

    def _merge_buffer(self) -> Tensor:
        self._buffer = [torch.cat(self._buffer)]
        return self._buffer[0]

    def _cut(self, samples: Tensor, *, last: bool) -> Chunk:
        start = self._first
        self._end = start + len(samples) if last else self._end + self.plan.block
        first = max(self._first, self._end - self.plan.history)
        self._buffer = [self._buffer[0][first - self._first :].clone()]
        self._first, self._count = first, len(self._buffer[0])
        return Chunk(samples, start, self._end, last)


class CrossfadeJoiner:
    """Joiner of converted chunks with crossfades, in their order.

    The seam is at the quietest position within `search` samples after the end of the block. A vocoder's phases may
    differ from chunk to chunk, so the new chunk is moved to where it correlates best with the old one (SOLA: Roucos and
    Wilgus 1985). The gains of the crossfade preserve the power of two signals with that correlation.

    Args:
        plan: Lengths of the chunks.

    Attributes:
        lags: How far each chunk after the first was moved, in samples.
        seams: Position of each seam.
    """

    def __init__(self, plan: ChunkPlan) -> None:
        self.plan = plan
        self._joined = torch.zeros(
            0, dtype=torch.float32
        )  # recent part of the output: some history, and the lookahead of the last chunk
        self._first = 0  # position of its first sample
        self._done = 0  # number of samples returned so far
        self.lags: list[int] = []
        self.seams: list[int] = []

    def before(self, start: int) -> Tensor:
        """Return the samples from position `start` on that exist already: history, and lookahead of the last chunk."""
        return self._joined[max(0, start - self._first) :]

    def add(self, converted: Tensor, start: int, end: int, *, last: bool) -> Tensor:
        """Join a converted chunk and return the samples up to `end` that were not returned before: (S,).

        Args:
            converted: Samples of the converted chunk, from position `start` on.
            start: Position of the first sample. It is 0 for the first chunk, and for the others at least `lag` samples
                before the beginning of the block.
            end: Position up to which samples are returned.
            last: Whether this is the last chunk.
        """
        if not self._done:
            self._joined, self._first = converted, start
        else:
            self._join(converted, start)
        missing = end - self._first - len(self._joined)
        if last and missing > 0:  # the chunk was moved to the left
            self._joined = F.pad(self._joined, (0, missing))
        ready = self._joined[self._done - self._first : end - self._first]
        self._done = end
        first = max(self._first, end - self.plan.history)
        self._joined, self._first = self._joined[first - self._first :].clone(), first
        return ready

    def _join(self, converted: Tensor, start: int) -> None:
        fade, lag = self.plan.fade, self.plan.lag
        old = self._joined[self._done - self._first :]
        offset = _quietest(old[: self.plan.search + fade], fade)
        seam = self._done + offset
        old = old[offset : offset + fade]
        around = converted[seam - lag - start : seam + fade + lag - start]
        shift, correlation = _alignment(old, F.pad(around, (0, fade + 2 * lag - len(around))), lag)
        self.lags.append(shift)
        self.seams.append(seam)
        new = converted[seam + shift - start :]
        new = F.pad(new, (0, max(0, fade - len(new))))
        rising = torch.sin(
            torch.linspace(0, torch.pi / 2, fade + 2, dtype=converted.dtype, device=converted.device)[1:-1]
        ).square()
        falling = 1 - rising
        power = rising.square() + falling.square() + 2 * correlation * rising * falling
        blend = (falling * old + rising * new[:fade]) / power.sqrt()
        self._joined = torch.cat([self._joined[: seam - self._first], blend, new[fade:]])


def _quietest(samples: Tensor, length: int) -> int:
    """Find where the `length` consecutive samples of least energy begin; the first of several equal positions."""
    if len(samples) <= length:
        return 0
    energy = F.pad(samples.double().square().cumsum(0), (1, 0))
    return int((energy[length:] - energy[:-length]).clamp(min=0).argmin())


def _alignment(old: Tensor, around: Tensor, lag: int) -> tuple[int, float]:
    """Find the shift at which `around`, which begins `lag` samples before `old`, matches `old` best.

    Returns:
        The shift in samples, -lag to lag, and the correlation there, 0 to 1.
    """
    old, around = old.double(), around.double()
    candidates = around.unfold(0, len(old), 1)
    scale = candidates.square().sum(dim=1).sqrt() * old.square().sum().sqrt()
    correlation = (candidates @ old) / scale.clamp(min=1e-9)
    distance = torch.arange(-lag, lag + 1, dtype=torch.float32, device=old.device).abs() / max(1, lag)
    best = int((correlation - LAG_PENALTY * distance).argmax())
    return best - lag, float(correlation[best].clamp(0, 1))
