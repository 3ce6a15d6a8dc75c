from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vczoo.audio.frames import Frames
from vczoo.errors import ContractError


def ragged(*lengths: int, channels: int = 3, padding: float = float("nan"), seed: int = 0) -> Frames:
    """Random frames whose padding would spoil whatever reads it."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(len(lengths), max(lengths), channels, generator=generator)
    for row, length in zip(values, lengths, strict=True):
        row[length:] = padding
    return Frames(values, torch.tensor(lengths))


def test_shapes_are_checked() -> None:
    with pytest.raises(ContractError, match=r"shape \(B, T, C\).*got \(4, 3\)"):
        Frames(torch.zeros(4, 3), torch.tensor([4]))
    with pytest.raises(ContractError, match="batch 2 need one length per item"):
        Frames(torch.zeros(2, 4, 3), torch.tensor([4]))


def test_of_takes_one_item_or_a_batch() -> None:
    assert Frames.of(torch.zeros(5, 3)).values.shape == (1, 5, 3)
    assert Frames.of(torch.zeros(2, 5, 3)).lengths.tolist() == [5, 5]


def test_batch_and_items_round_trip() -> None:
    items = [Frames.of(torch.randn(length, 2)) for length in (4, 1, 6)]
    batch = Frames.batch(items)
    assert batch.values.shape == (3, 6, 2)
    assert batch.lengths.tolist() == [4, 1, 6]
    assert len(batch) == 3
    assert batch.channels == 2
    assert not batch.values[1, 1:].any()
    for index, item in enumerate(items):
        torch.testing.assert_close(batch[index].values, item.values)


def test_mask_is_true_where_a_frame_is_valid() -> None:
    assert ragged(1, 3).mask()[..., 0].tolist() == [[True, False, False], [True, True, True]]


def test_resize_worked_numbers() -> None:
    frames = Frames.of(torch.tensor([[0.0], [10.0], [40.0]]))
    doubled = frames.resize(torch.tensor([6]), 0.5)
    assert doubled.values.flatten().tolist() == [0, 5, 10, 25, 40, 40]  # past the last frame that one is held
    halved = frames.resize(torch.tensor([2]), 2)
    assert halved.values.flatten().tolist() == [0, 40]
    assert frames.resize(torch.tensor([3]), 1).values.flatten().tolist() == [0, 10, 40]


def test_resize_does_not_read_padding() -> None:
    frames = ragged(2, 5)
    resized = frames.resize(torch.tensor([7, 10]), 0.5)
    assert resized.values.shape == (2, 10, 3)
    assert resized.lengths.tolist() == [7, 10]
    assert torch.isfinite(resized.values).all()
    for index in range(2):
        alone = frames[index].resize(resized.lengths[index : index + 1], 0.5)
        torch.testing.assert_close(resized[index].values, alone.values)


@settings(max_examples=60, deadline=None)
@given(
    old=st.integers(1, 40),
    new=st.integers(1, 90),
    ratio=st.floats(0.05, 8),
    seed=st.integers(0, 1000),
)
def test_resize_is_linear_interpolation(old: int, new: int, ratio: float, seed: int) -> None:
    frames = ragged(old, old + 3, channels=1, seed=seed)
    resized = frames.resize(torch.tensor([new, new]), ratio)
    wanted = np.interp(np.arange(new) * ratio, np.arange(old), frames.values[0, :old, 0].numpy())
    np.testing.assert_allclose(resized.values[0, :, 0].numpy(), wanted, atol=1e-4)


def test_moments_are_those_of_valid_frames() -> None:
    frames = ragged(4, 7)
    mean, deviation = frames.moments(epsilon=0.0)
    for index, length in enumerate([4, 7]):
        valid = frames.values[index, :length].numpy()
        np.testing.assert_allclose(mean[index].numpy(), valid.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(deviation[index].numpy(), valid.std(axis=0), atol=1e-6)


def test_pool_puts_mean_and_deviation_side_by_side() -> None:
    frames = Frames.of(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    torch.testing.assert_close(frames.pool(), torch.tensor([[2.0, 0.0, 1.0, 1e-5**0.5]]), atol=1e-4, rtol=0)


def test_normalise_gives_mean_0_and_deviation_1_on_valid_frames() -> None:
    normal = ragged(30, 50).normalise()
    for index in range(2):
        valid = normal[index].values[0].numpy()
        np.testing.assert_allclose(valid.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(valid.std(axis=0), 1, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_pool_in_a_batch_is_pool_alone(lengths: list[int]) -> None:
    frames = ragged(*lengths)
    alone = torch.cat([frames[index].pool() for index in range(len(frames))])
    torch.testing.assert_close(frames.pool(), alone, atol=1e-5, rtol=1e-4)


def test_gradients_do_not_meet_padding() -> None:
    values = ragged(2, 4).values.requires_grad_()
    Frames(values, torch.tensor([2, 4])).pool().sum().backward()
    assert values.grad is not None
    assert torch.isfinite(values.grad).all()
    assert not values.grad[0, 2:].any()


def test_slice_cuts_each_item_at_its_start() -> None:
    values = torch.arange(10.0).view(1, 10, 1).repeat(2, 1, 1)
    cut = Frames(values, torch.tensor([10, 6])).slice(torch.tensor([2, 4]), 3)
    assert cut.values[..., 0].tolist() == [[2, 3, 4], [4, 5, 6]]
    assert cut.lengths.tolist() == [3, 2]  # the second item ends after frame 5


def test_slice_longer_than_the_frames() -> None:
    cut = Frames.of(torch.arange(4.0)[:, None]).slice(torch.tensor([1]), 8)
    assert cut.values.shape == (1, 8, 1)
    assert cut[0].values.flatten().tolist() == [1, 2, 3]


def test_with_values_keeps_lengths() -> None:
    frames = ragged(1, 2).with_values(torch.zeros(2, 2, 9))
    assert frames.channels == 9
    assert frames.lengths.tolist() == [1, 2]


def test_moments_of_sixteen_bits_count_all_frames() -> None:
    """bfloat16 has 8 bits: 301 frames would be 300 of them, and a sum would stop to grow."""
    values = torch.randn(1, 301, 2) + 3
    mean, deviation = Frames.of(values.bfloat16()).moments()
    whole, spread = Frames.of(values.bfloat16().float()).moments()
    assert torch.allclose(mean, whole)
    assert torch.allclose(deviation, spread)
