"""The CTC head: its loss by hand and by torch, best paths, texts that do not fit, and that it learns."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.heads.ctc import CTC

SPEC = FrameSpec(16000, 320, 6)


class Told(CTC):
    """Gives the log-probabilities that it is told to."""

    def __init__(self, values: Tensor, lengths: list[int], **options: object) -> None:
        super().__init__(frames=SPEC, **options)  # type: ignore[arg-type]
        self.told = Frames(values, torch.tensor(lengths))

    def log_probabilities(self, frames: Frames) -> Frames:
        return self.told


def path(*indices: int, classes: int = 3) -> Tensor:
    return torch.log_softmax(10.0 * F.one_hot(torch.tensor(indices), classes).float(), dim=1)


def test_the_loss_is_that_of_all_paths_which_write_the_text() -> None:
    torch.manual_seed(0)
    values = torch.randn(1, 4, 3).log_softmax(dim=2)
    head = Told(values, [4], alphabet="ab")

    def written(steps: tuple[int, ...]) -> str:
        return "".join(" ab"[index] for index, _ in itertools.groupby(steps) if index)

    for text in ("ab", "aa", "b"):
        paths = [steps for steps in itertools.product(range(3), repeat=4) if written(steps) == text]
        likelihood = sum(math.exp(sum(float(values[0, t, i]) for t, i in enumerate(steps))) for steps in paths)
        found = head.loss(Frames.of(torch.zeros(1, 4, 6)), [text]).value
        assert float(found) == pytest.approx(-math.log(likelihood) / len(text), rel=1e-5)


def test_the_best_path_is_read_without_twins_and_blanks() -> None:
    steps = torch.stack([path(1, 1, 0, 1, 2, 2), path(0, 2, 2, 0, 1, 1)])
    head = Told(steps, [6, 4], alphabet="ab")
    assert head.transcribe(Frames.of(torch.zeros(2, 6, 6))) == ["aab", "b"]  # what stands past a length is not read
    spaced = Told(path(1, 2, 1, 0, 1, 3, classes=4)[None], [6], alphabet=" ab")
    assert spaced.transcribe(Frames.of(torch.zeros(1, 6, 6))) == ["a b"]


def test_a_text_that_does_not_fit_is_no_loss_of_zero() -> None:
    head = CTC(frames=SPEC, alphabet="ab", width=4, blocks=0)
    assert [head.frames_needed(text) for text in ("a", "ab", "aa", "aabb")] == [1, 2, 3, 6]
    frames = Frames(torch.randn(2, 5, 6), torch.tensor([5, 2]))
    assert head.loss(frames, ["aab", "ab"]).value.isfinite()
    with pytest.raises(ContractError, match=r"'aa' needs at least 3 frames, but its recording has 2"):
        head.loss(frames, ["aab", "aa"])
    with pytest.raises(ContractError, match=r"the alphabet 'ab' lacks 'c'"):
        head.loss(frames, ["aab", "c"])


@pytest.mark.parametrize(("hop", "steps"), [(160, 1), (320, 1), (640, 2), (5120, 16)])
def test_coarse_frames_are_of_several_steps(hop: int, steps: int) -> None:
    head = CTC(frames=FrameSpec(16000, hop, 6), width=8, blocks=1)
    found = head.log_probabilities(Frames(torch.randn(2, 3, 6), torch.tensor([3, 1])))
    assert found.values.shape == (2, 3 * steps, 1 + len(head.alphabet))
    assert found.lengths.tolist() == [3 * steps, steps]
    assert head.frames_needed("abcdefgh") == math.ceil(8 / steps)
    assert torch.allclose(found.values.exp().sum(dim=2), torch.ones(2, 3 * steps), atol=1e-5)


def test_texts_are_spelled_before_they_are_learnt() -> None:
    head = CTC(frames=SPEC, width=4, blocks=0)
    frames = Frames.of(torch.randn(1, 20, 6))
    assert head.eval().loss(frames, ["Don't, go!"]).value == head.loss(frames, ["don't go"]).value


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alphabet": ""}, "1 to 20000 characters"),
        ({"alphabet": "   "}, "1 to 20000 characters"),
        ({"alphabet": "abca"}, "each character only once; this one repeats 'a'"),
        ({"alphabet": "ab\n"}, "only printable characters"),
        ({"alphabet": "ae\u0301"}, "composed form"),
        ({"width": 0}, "width must be 1 or more"),
        ({"blocks": -1}, "blocks must be 0 to 256"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
    ],
)
def test_options_out_of_range(options: dict[str, object], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        CTC(frames=SPEC, **options)  # type: ignore[arg-type]


def test_it_learns_to_write() -> None:
    """Tones of three kinds, a letter each: after a hundred steps most strings that it never saw are right."""
    generator = torch.Generator().manual_seed(0)
    tones = torch.randn(3, 6, generator=generator)

    def lesson(count: int) -> tuple[Frames, list[str]]:
        items, texts = [], []
        for _ in range(count):
            letters = torch.randint(0, 3, (4,), generator=generator).tolist()
            spans = [torch.cat([tones[letter].expand(3, 6), torch.zeros(1, 6)]) for letter in letters]
            values = torch.cat(spans)
            items.append(Frames.of(values + 0.3 * torch.randn(values.shape, generator=generator)))
            texts.append("".join("abc"[letter] for letter in letters))
        return Frames.batch(items), texts

    torch.manual_seed(0)
    head = CTC(frames=SPEC, alphabet="abc", width=16, blocks=1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        head.loss(*lesson(8)).value.backward()
        optimizer.step()
    frames, texts = lesson(50)
    right = sum(one == other for one, other in zip(head.eval().transcribe(frames), texts, strict=True))
    assert right >= 40  # by chance one in 81
