from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vczoo.errors import ContractError, VoiceError
from vczoo.frames import Frames
from vczoo.heads.knn import KNN, nearest_frames
from vczoo.interfaces import Source
from vczoo.specs import FrameSpec, MelSpec

CONTENT = FrameSpec(16000, 320, 8)
MEL = MelSpec(num_mels=5)  # two frames to one of content


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


def source(content: torch.Tensor, frames: int, spec: FrameSpec = CONTENT) -> Source:
    return Source(Frames.of(content), spec, Frames.of(torch.zeros(1, frames, 2)))


@pytest.mark.parametrize("chunk_frames", [1, 3, 7, 50, 10_000])
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


def test_enrolment_keeps_every_frame_at_the_acoustic_rate() -> None:
    content = Frames(torch.randn(2, 6, 8), torch.tensor([6, 3]))
    acoustic = Frames(torch.randn(2, 11, 5), torch.tensor([11, 5]))
    kept = KNN(frames=CONTENT, acoustic=MEL).enroll(content, acoustic)
    assert set(kept) == {"content", "acoustic"}
    assert kept["content"].shape == (16, 8)
    torch.testing.assert_close(kept["content"].norm(dim=1), torch.ones(16))
    assert torch.equal(kept["acoustic"], torch.cat([acoustic.values[0], acoustic.values[1, :5]]))
    torch.testing.assert_close(kept["content"][11], torch.nn.functional.normalize(content.values[1, 0], dim=0))


def test_conversion_gives_the_acoustic_frames_of_the_same_content() -> None:
    """Content of either speaker is a row of symbols; each speaker says a symbol in a way of its own."""
    head = KNN(frames=CONTENT, acoustic=FrameSpec(16000, 320, 3), k=2)
    symbols, said = unit(5, 8), torch.randn(5, 3)
    spoken, asked = torch.tensor([0, 1, 2, 3, 4, 4, 3, 2, 1, 0]), torch.tensor([3, 3, 0, 4, 1])
    loudness = torch.rand(10, 1) + 0.5  # the match is by cosine
    voice = head.enroll(Frames.of(symbols[spoken] * loudness), Frames.of(said[spoken]))
    made = head.convert(source(7 * symbols[asked], 5), voice)
    assert made.lengths.tolist() == [5]
    torch.testing.assert_close(made.values[0], said[asked])


def test_the_mean_of_k_neighbours() -> None:
    content = torch.eye(8)[[0, 0, 0, 1]]
    acoustic = torch.tensor([[1.0], [2.0], [6.0], [100.0]])
    for k, expected in ((3, 3.0), (4, 27.25), (9, 27.25)):  # k beyond the reference takes all of it
        head = KNN(frames=CONTENT, acoustic=FrameSpec(16000, 320, 1), k=k)
        voice = head.enroll(Frames.of(content), Frames.of(acoustic))
        assert float(head.convert(source(torch.eye(8)[:1], 1), voice).values) == pytest.approx(expected)


def test_it_has_nothing_to_train() -> None:
    head = KNN(frames=CONTENT, acoustic=MEL)
    assert list(head.parameters()) == []
    assert head.loss(source(torch.randn(4, 8), 8), None, Frames.of(torch.randn(1, 8, 5))) is None


def test_a_voice_that_was_not_enrolled() -> None:
    with pytest.raises(VoiceError, match=r"no reference frames; enrol it with recordings"):
        KNN(frames=CONTENT, acoustic=MEL).convert(source(torch.randn(4, 8), 8), {"embedding": torch.ones(2)})


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"k": 0}, "k=0, chunk_frames=8192"),
        ({"chunk_frames": 0}, "k=4, chunk_frames=0"),
    ],
)
def test_options_out_of_range(options, part) -> None:
    with pytest.raises(ContractError) as error:
        KNN(**({"frames": CONTENT, "acoustic": MEL} | options))
    assert part in str(error.value)
