"""Windows: what is cut comes back as it was, of equal length, with context at every cut."""

from __future__ import annotations

import pytest
import torch

from vczoo.modules.nn.windows import Windows

WINDOWS = Windows(frames=10, context=2)


@pytest.mark.parametrize(
    ("count", "starts"), [(1, [0]), (10, [0]), (11, [0, 1]), (16, [0, 6]), (17, [0, 6, 7]), (28, [0, 6, 12, 18])]
)
def test_starts(count: int, starts: list[int]) -> None:
    assert WINDOWS.starts(count) == starts


@pytest.mark.parametrize("count", range(1, 60))
def test_what_is_cut_is_joined_as_it_was(count: int) -> None:
    frames = torch.arange(2 * count).view(2, count, 1).float()
    cut = WINDOWS.cut(frames.transpose(1, 2), count)
    assert cut.shape[0] == 2 * len(WINDOWS.starts(count))
    assert torch.equal(WINDOWS.join(cut.transpose(1, 2), count), frames)


@pytest.mark.parametrize("count", range(11, 60))
def test_what_is_kept_had_context(count: int) -> None:
    """Each window says how far its frames are from its own ends."""
    rows = len(WINDOWS.starts(count))
    distance = torch.minimum(torch.arange(10), torch.arange(9, -1, -1)).view(1, 10, 1).expand(rows, -1, -1)
    joined = WINDOWS.join(distance, count)[0, :, 0]
    assert joined.shape == (count,)
    assert (joined[WINDOWS.context : -WINDOWS.context] >= WINDOWS.context).all()


def test_a_frame_may_read_beyond_its_hop() -> None:
    samples = torch.arange(11 * 4 + 3)[None]
    cut = WINDOWS.cut(samples, 11, per_frame=4, beyond=3)
    assert cut.tolist() == [list(range(43)), list(range(4, 47))]


def test_windows_hand_over_in_the_middle_of_their_overlap() -> None:
    windows = Windows(frames=1500, context=100)
    assert windows.starts(4300) == [0, 1300, 2600, 2800]
    assert windows.seams(4300) == [0, 1400, 2700, 3450, 4300]
