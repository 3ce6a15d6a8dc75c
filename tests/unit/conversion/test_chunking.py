"""Cutting and joining, with a stand-in for conversion that can be worked out."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from vczoo.conversion.chunking import Chunk, Chunker, ChunkPlan, CrossfadeJoiner
from vczoo.errors import ContractError

PLAN = ChunkPlan(block=4000, history=1000, lookahead=1200, search=800, fade=160, lag=60)


def noise(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed)) - 0.5


def cut(samples: Tensor, plan: ChunkPlan, block: int) -> list[Chunk]:
    cutter = Chunker(plan)
    pieces = [piece for part in torch.split(samples, block) for piece in cutter.push(part)]
    return [*pieces, *cutter.finish()]


@pytest.mark.parametrize("count", [1, 5199, 5200, 5201, 9200, 30000])
@pytest.mark.parametrize("block", [1, 7, 4000, 100000])
def test_pieces_have_their_history_and_lookahead_however_the_stream_comes(count: int, block: int) -> None:
    if block == 1 and count > 6000:
        block = 11
    samples = noise(count)
    pieces = cut(samples, PLAN, block)
    ends = [0, *(piece.end for piece in pieces)]
    for piece, begin in zip(pieces, ends, strict=False):
        assert piece.start == max(0, begin - PLAN.history)
        stop = count if piece.last else piece.end + PLAN.lookahead
        assert torch.equal(piece.samples, samples[piece.start : stop])
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert ends[-1] == count
    assert all(later - earlier == PLAN.block for earlier, later in pairwise(ends[:-1]))
    assert len(pieces) == len(cut(samples, PLAN, count))


def joined(pieces: list[Chunk], plan: ChunkPlan, change) -> tuple[Tensor, CrossfadeJoiner]:  # type: ignore[no-untyped-def]
    joiner = CrossfadeJoiner(plan)
    ready = [joiner.add(change(p, n), p.start, p.end, last=p.last) for n, p in enumerate(pieces)]
    ends = [0, *(piece.end for piece in pieces)]
    assert [len(block) for block in ready] == [after - before for before, after in pairwise(ends)]
    return torch.cat(ready), joiner


def test_pieces_that_agree_join_to_what_was_cut() -> None:
    samples = noise(30000)
    made, joiner = joined(cut(samples, PLAN, 999), PLAN, lambda piece, _: piece.samples)
    torch.testing.assert_close(made, samples, rtol=0, atol=1e-6)
    assert set(joiner.lags) == {0}


def test_the_seam_lies_where_it_is_quietest() -> None:
    samples = noise(12000)
    samples[4300:4500] *= 0.01
    _, joiner = joined(cut(samples, PLAN, 12000), PLAN, lambda piece, _: piece.samples)
    assert 4300 <= joiner.seams[0] <= 4500 - PLAN.fade


def test_a_piece_that_is_late_is_moved_back() -> None:
    samples = noise(12000)
    late = 17
    made, joiner = joined(
        cut(samples, PLAN, 12000),
        PLAN,
        lambda piece, number: torch.cat([noise(late, 5), piece.samples[:-late]]) if number == 1 else piece.samples,
    )
    assert joiner.lags == [late, 0]
    torch.testing.assert_close(made[:8000], samples[:8000], rtol=0, atol=1e-5)
    assert len(made) == len(samples)


@pytest.mark.parametrize("same", [True, False])
def test_the_level_holds_across_a_fade_of_signals_that_agree_or_not(same: bool) -> None:
    plan = replace(PLAN, search=0, lag=0, block=4000)
    powers = []
    for seed in range(200):
        samples = noise(9000, 2 * seed)
        other = samples if same else noise(9000, 2 * seed + 1)

        def change(piece: Chunk, number: int, first: Tensor = samples, second: Tensor = other) -> Tensor:
            return (second if number else first)[piece.start : piece.start + len(piece.samples)]

        made, joiner = joined(cut(samples, plan, 9000), plan, change)
        middle = joiner.seams[0] + plan.fade // 2
        powers.append(float(made[middle - 20 : middle + 20].square().mean()))
    assert 10 * math.log10(sum(powers) / len(powers) * 12) == pytest.approx(0, abs=0.35)


def test_silence_and_a_stream_shorter_than_a_fade() -> None:
    for count in (1, 50, 9000):
        made, _ = joined(cut(torch.zeros(count), PLAN, 64), PLAN, lambda piece, _: piece.samples)
        assert torch.equal(made, torch.zeros(count))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"lookahead": 1079}, "but the seam (search, fade and twice the lag) needs 1080"),
        ({"history": 59}, "must be at least as long as the lag, 60"),
        ({"block": 0}, "block and fade must be at least 1 sample"),
        ({"search": -1}, "no length may be negative"),
    ],
)
def test_a_plan_that_leaves_no_room_for_the_seam(change: dict[str, int], part: str) -> None:
    with pytest.raises(ContractError) as error:
        replace(PLAN, **change)
    assert part in str(error.value)
