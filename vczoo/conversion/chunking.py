"""A stream of samples in, overlapping pieces of it out; and pieces that were made of them in, joined samples out.

    held:                |---- history ----|======== block ========|-- lookahead --|
    next piece:                                  |---- history ----|======== block ========|-- lookahead --|
    seam between both:                                             |search|

Positions are in samples from the stream's beginning. Nothing here knows what a piece is turned into, but that it stays
as long as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vczoo.errors import ContractError

__all__ = ["Chunk", "ChunkPlan", "Chunker", "CrossfadeJoiner"]

LAG_PENALTY = 0.1  # of correlation at the furthest lag: where sides agree, or are noise, nothing is moved


@dataclass(frozen=True)
class ChunkPlan:
    """How a stream is cut and joined.

    Attributes:
        block: new samples of each piece.
        history: samples before them that are read again.
        lookahead: samples after them that are read already.
        search: samples after a block's end among which the quietest place is chosen for the seam.
        fade: samples over which one piece goes over into the next.
        lag: samples that a piece may be moved by, either way, to agree with the one before.

    Raises:
        ContractError: a length is negative, block or fade is 0, or history and lookahead are too short for the seam.
    """

    block: int
    history: int
    lookahead: int
    search: int
    fade: int
    lag: int

    def __post_init__(self) -> None:
        if self.block < 1 or self.fade < 1 or min(self.history, self.lookahead, self.search, self.lag) < 0:
            raise ContractError(f"block and fade are 1 sample or more, and no length is below 0; got {self}")
        if self.lookahead < (needed := self.search + self.fade + 2 * self.lag):
            raise ContractError(
                f"lookahead is {self.lookahead} samples; the seam alone (search, fade and twice the lag) takes {needed}"
            )
        if self.history < self.lag:
            raise ContractError(f"history is {self.history} samples; a piece may be moved by {self.lag}")

    @property
    def longest(self) -> int:
        """Samples of the longest piece."""
        return self.history + self.block + self.lookahead


@dataclass(frozen=True)
class Chunk:
    """A part of a stream with what stands around it.

    Attributes:
        samples: (S,), history, block and lookahead.
        start: position of the first of them.
        end: position where the block ends; that of the last piece is the stream's end.
        last: whether it is the last.
    """

    samples: Tensor
    start: int
    end: int
    last: bool


class Chunker:
    """Cuts a stream by a plan: the same pieces however the stream was split into blocks."""

    def __init__(self, plan: ChunkPlan) -> None:
        self.plan = plan
        self._held: list[Tensor] = []
        self._first = 0  # position of the first sample held
        self._count = 0  # samples held
        self._end = 0  # where the last piece's block ended

    def push(self, samples: Tensor) -> Iterator[Chunk]:
        """Take (S,) more samples; every piece that they complete."""
        self._held.append(samples)
        self._count += len(samples)
        while self._first + self._count >= (stop := self._end + self.plan.block + self.plan.lookahead):
            held = self._all()
            yield self._cut(held[: stop - self._first], last=False)

    def finish(self) -> Iterator[Chunk]:
        """The last piece: all that is left, which may be nothing."""
        if self._first + self._count > self._end:
            yield self._cut(self._all(), last=True)

    def _all(self) -> Tensor:
        self._held = [torch.cat(self._held)]
        return self._held[0]

    def _cut(self, samples: Tensor, *, last: bool) -> Chunk:
        start = self._first
        self._end = start + len(samples) if last else self._end + self.plan.block
        kept = max(self._first, self._end - self.plan.history)
        self._held = [self._held[0][kept - self._first :].clone()]
        self._first, self._count = kept, len(self._held[0])
        return Chunk(samples, start, self._end, last)


class CrossfadeJoiner:
    """Joins what was made of pieces, in their order.

    The seam lies where what was made is quietest (after the block's end, within `search`); the new piece is moved to
    where it correlates best with the old one (SOLA: Roucos and Wilgus 1985), since a vocoder's phases may differ from
    piece to piece; and the gains of the fade are those that keep the power of two signals of that correlation.
    """

    def __init__(self, plan: ChunkPlan) -> None:
        self.plan = plan
        self._made = torch.zeros(0)  # what is kept of the joined stream: some history, and the last piece's lookahead
        self._first = 0  # position of the first sample kept
        self._done = 0  # samples given out
        self.lags: list[int] = []
        self.seams: list[int] = []

    def before(self, start: int) -> Tensor:
        """What is there already from a position on: history, and the lookahead of the last piece."""
        return self._made[max(0, start - self._first) :]

    def add(self, made: Tensor, start: int, end: int, *, last: bool) -> Tensor:
        """Join a piece and give out what is ready: (S,).

        Args:
            made: what was made of the piece, from position `start` on.
            start: of the first piece 0, of others at least `lag` before the block's beginning.
            end: position up to which samples are wanted now.
            last: whether no other piece follows.
        """
        if not self._done:
            self._made, self._first = made, start
        else:
            self._join(made, start)
        missing = end - self._first - len(self._made)
        if last and missing > 0:  # it was moved to the left
            self._made = F.pad(self._made, (0, missing))
        ready = self._made[self._done - self._first : end - self._first]
        self._done = end
        kept = max(self._first, end - self.plan.history)
        self._made, self._first = self._made[kept - self._first :].clone(), kept
        return ready

    def _join(self, made: Tensor, start: int) -> None:
        fade, lag = self.plan.fade, self.plan.lag
        old = self._made[self._done - self._first :]
        place = _quietest(old[: self.plan.search + fade], fade)
        seam = self._done + place
        old = old[place : place + fade]
        around = made[seam - lag - start : seam + fade + lag - start]
        moved, correlation = _alignment(old, F.pad(around, (0, fade + 2 * lag - len(around))), lag)
        self.lags.append(moved)
        self.seams.append(seam)
        new = made[seam + moved - start :]
        new = F.pad(new, (0, max(0, fade - len(new))))
        rising = torch.sin(torch.linspace(0, torch.pi / 2, fade + 2, device=made.device)[1:-1]).square()
        falling = 1 - rising
        power = rising.square() + falling.square() + 2 * correlation * rising * falling
        blend = (falling * old + rising * new[:fade]) / power.sqrt()
        self._made = torch.cat([self._made[: seam - self._first], blend, new[fade:]])


def _quietest(samples: Tensor, length: int) -> int:
    """Where the `length` samples of least energy begin; the earliest of equals."""
    if len(samples) <= length:
        return 0
    energy = F.pad(samples.double().square().cumsum(0), (1, 0))
    return int((energy[length:] - energy[:-length]).clamp(min=0).argmin())


def _alignment(old: Tensor, around: Tensor, lag: int) -> tuple[int, float]:
    """The lag at which `around`, which begins `lag` before `old` does, agrees best with it; and how well, 0 to 1."""
    old, around = old.double(), around.double()
    candidates = around.unfold(0, len(old), 1)
    scale = candidates.square().sum(dim=1).sqrt() * old.square().sum().sqrt()
    correlation = (candidates @ old) / scale.clamp(min=1e-9)
    distance = torch.arange(-lag, lag + 1, device=old.device).abs() / max(1, lag)
    best = int((correlation - LAG_PENALTY * distance).argmax())
    return best - lag, float(correlation[best].clamp(0, 1))
