"""The speaker head of mels: it learns from what changes in time, whatever the level. Promises: conformance."""

from __future__ import annotations

import math

import pytest
import torch

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.heads.speaker_conv import SpeakerConv

SPEC = FrameSpec(16000, 160, 6)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def small(**options: object) -> SpeakerConv:
    given = {"width": 8, "channels": 12, "blocks": 1, **options}
    return SpeakerConv(frames=SPEC, num_speakers=2, **given)  # type: ignore[arg-type]


def beats(items: int = 24, seed: int = 0) -> tuple[Frames, torch.Tensor]:
    """Two speakers of the same mean and deviation in every channel: one beats every second frame, one every fourth."""
    generator = torch.Generator().manual_seed(seed)
    speakers = torch.arange(items) % 2
    time = torch.arange(40)
    fast, slow = (-1.0) ** time, (-1.0) ** torch.div(time, 2, rounding_mode="floor")
    values = torch.stack([(fast, slow)[int(speaker)] for speaker in speakers])[..., None].repeat(1, 1, 6)
    level = 3 * torch.randn(items, 1, 1, generator=generator)
    return Frames.of(values + level + 0.3 * torch.randn(items, 40, 6, generator=generator)), speakers


def test_it_hears_what_mean_and_deviation_do_not_tell() -> None:
    head, (frames, speakers) = small(dropout=0.0).train(), beats()
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        loss = head.loss(frames, speakers)
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
        losses.append(float(loss.value.detach()))
    assert losses[-1] < 0.2 * losses[0]
    has_unknown_speakers, who = beats(seed=1)
    assert float(head.eval().loss(has_unknown_speakers, who).metrics["accuracy"]) > 0.9


def test_how_loud_a_recording_is_does_not_count() -> None:
    head, (frames, _) = small().eval(), beats(4)
    louder = frames.with_values(frames.values + 2.5)
    torch.testing.assert_close(head.embed(louder), head.embed(frames), atol=1e-4, rtol=0)
    brighter = frames.with_values(frames.values + torch.linspace(-3, 3, 6))
    assert not torch.allclose(head.embed(brighter), head.embed(frames), atol=1e-2)


def test_dropout_works_in_training_alone() -> None:
    head, (frames, _) = small(dropout=0.5), beats(4)
    assert not torch.equal(head.train().logits(frames), head.logits(frames))
    assert torch.equal(head.eval().logits(frames), head.logits(frames))


def test_widths_and_speakers() -> None:
    head, (frames, speakers) = small(), beats(4)
    assert (head.embedding_width, head.num_speakers) == (8, 2)
    assert head.embed(frames).shape == (4, 8)
    before = head.eval().logits(frames)
    head.grow(5)
    assert head.num_speakers == 5
    assert torch.equal(head.logits(frames)[:, :2], before)
    head.restart(3)
    assert head.num_speakers == 3
    assert head.loss(frames, speakers + 1).value.isfinite()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"channels": 0}, "channels must be 1 or more and blocks 1 to 64, got 0 and 1"),
        ({"blocks": 0}, "got 12 and 0"),
        ({"blocks": 65}, "got 12 and 65"),
        ({"dropout": 1.0}, "dropout must be in [0, 1), got 1.0"),
        ({"dropout": math.nan}, "dropout must be in [0, 1), got nan"),
        ({"margin": 2.0}, "margin must be an angle in [0, pi / 2) radians, got 2.0"),
        ({"scale": 0.0}, "scale must be above 0, got 0.0"),
        ({"width": 0}, "width must be 1 or more, got 0"),
    ],
)
def test_sizes_out_of_range(options, part) -> None:
    with pytest.raises(ContractError) as error:
        small(**options)
    assert part in str(error.value)
