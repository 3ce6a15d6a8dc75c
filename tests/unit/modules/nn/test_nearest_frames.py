"""The shared search finds what brute force finds, in bounded memory; centring keeps what a short recording says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vczoo.audio.frames import Frames
from vczoo.modules.nn.nearest_frames import CHUNK_FRAMES, PRIOR_SECONDS, nearest_frames, source_centre


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


@pytest.mark.parametrize("chunk_frames", [1, 3, 7, 50, CHUNK_FRAMES])
@pytest.mark.parametrize("k", [1, 4, 60])
def test_the_search_equals_brute_force(k, chunk_frames) -> None:
    queries, reference = unit(23, 8), unit(50, 8)
    found = nearest_frames(queries, reference, k, chunk_frames)
    scores = queries.double().numpy() @ reference.double().numpy().T
    best = np.argsort(-scores, axis=1)[:, : min(k, 50)]
    assert found.shape == (23, min(k, 50))
    np.testing.assert_array_equal(found.numpy(), best)


class LargestTensor(TorchDispatchMode):
    """Notes the largest number of elements that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if "view" not in str(function) and "slice" not in str(function) and "aten.t." not in str(function):
            for tensor in made if isinstance(made, tuple | list) else (made,):
                if isinstance(tensor, torch.Tensor):
                    self.elements = max(self.elements, tensor.numel())
        return made


@pytest.mark.parametrize("reference_frames", [256, 2048])
def test_memory_is_bounded_by_the_chunk_and_not_by_the_reference(reference_frames) -> None:
    queries, reference = unit(100, 8), unit(reference_frames, 8)
    with LargestTensor() as largest:
        nearest_frames(queries, reference, k=4, chunk_frames=32)
    assert largest.elements == 32 * 32
    with LargestTensor() as whole:
        nearest_frames(queries, reference, k=4, chunk_frames=4096)
    assert whole.elements == 100 * reference_frames


def test_the_centre_of_a_recording_is_its_own_mean_the_more_the_longer_it_is() -> None:
    mean = torch.tensor([1.0, 1.0])
    own = torch.tensor([3.0, -1.0])
    for seconds, share in ((PRIOR_SECONDS, 0.5), (9 * PRIOR_SECONDS, 0.1)):
        content = Frames.of(own + torch.tensor([[1.0, -2.0], [-1.0, 2.0]]).repeat(round(20 * seconds), 1))
        centre = source_centre(content, 40.0, mean)
        torch.testing.assert_close(centre, (share * mean + (1 - share) * own)[None])


def test_of_a_single_frame_what_tells_it_from_the_voice_is_left() -> None:
    frame, mean = torch.randn(1, 8), torch.randn(8)
    left = frame - source_centre(Frames.of(frame), 50.0, mean)
    torch.testing.assert_close(left, (frame - mean) * 25 / 26)


def test_the_centre_reads_no_padding() -> None:
    values = torch.randn(2, 9, 8)
    values[1, 4:] = torch.nan
    centre = source_centre(Frames(values, torch.tensor([9, 4])), 50.0, torch.zeros(8))
    alone = source_centre(Frames.of(values[1, :4]), 50.0, torch.zeros(8))
    torch.testing.assert_close(centre[1:], alone)
