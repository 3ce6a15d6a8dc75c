"""The linear head: worked maps, both ends of the ridge, low rank, one frame, padding, its decoder and its mixes."""

from __future__ import annotations

import math

import pytest
import torch

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.errors import ContractError, VoiceError
from vczoo.modules.heads.linear import Linear, fitted_frames
from vczoo.modules.interfaces.heads import Source
from vczoo.testing import check_head

CONTENT = FrameSpec(16000, 320, 8)
MEL = MelSpec(num_mels=5)  # two frames to one of content


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def linear(acoustic: MelSpec | FrameSpec = CONTENT, **options: object) -> Linear:
    small = {"width": 8, "blocks": 1} if isinstance(acoustic, MelSpec) else {}
    return Linear(frames=CONTENT, acoustic=acoustic, **(small | options))  # type: ignore[arg-type]


def source(content: torch.Tensor, frames: int) -> Source:
    return Source(Frames.of(content), CONTENT, Frames.of(torch.zeros(1, frames, 2)))


@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize("acoustic", [MEL, CONTENT, MelSpec(hop_length=256, num_mels=5, centred=False)])
def test_it_keeps_the_promises_of_a_head(acoustic, rank) -> None:
    check_head(linear(acoustic, rank=rank), frames=CONTENT, acoustic=acoustic)


def test_a_linear_relation_is_found_with_its_bias() -> None:
    given = torch.randn(400, 8) * torch.logspace(-2, 2, 8) + 5  # a channel's unit must not matter
    wanted = given @ torch.randn(8, 8) + torch.randn(8)
    torch.testing.assert_close(fitted_frames(given, wanted, 1e-9), wanted, rtol=1e-4, atol=1e-3)


def test_a_small_ridge_is_least_squares_and_a_large_one_moves_means_and_deviations_alone() -> None:
    given, wanted = torch.randn(60, 8) * 3 + 1, torch.randn(60, 8) - 2
    one = torch.cat([given, torch.ones(60, 1)], dim=1)
    least_squares = one @ torch.linalg.lstsq(one, wanted).solution
    torch.testing.assert_close(fitted_frames(given, wanted, 1e-9), least_squares, rtol=1e-4, atol=1e-4)
    moved = (given - given.mean(0)) / given.std(0, unbiased=False)
    moved = moved * wanted.std(0, unbiased=False) + wanted.mean(0)
    torch.testing.assert_close(fitted_frames(given, wanted, 1e9), moved, rtol=1e-4, atol=1e-4)


def test_the_ridge_is_relative_to_the_number_of_frames() -> None:
    given, wanted = torch.randn(60, 8), torch.randn(60, 8)
    twice = fitted_frames(given.repeat(2, 1), wanted.repeat(2, 1), 0.5)
    torch.testing.assert_close(twice[:60], fitted_frames(given, wanted, 0.5))


def test_a_map_between_is_the_closed_form_of_ridge_regression() -> None:
    """One channel: x' = (g + ridge) / (1 + ridge) x, with g the correlation, in units of the deviations."""
    given = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]])
    wanted = torch.tensor([[0.0], [6.0], [4.0], [2.0]])  # mean 3, deviation sqrt(5), correlation 1 / sqrt(5)
    slope = math.sqrt(5) * (1 / math.sqrt(5) + 3) / (1 + 3)
    torch.testing.assert_close(fitted_frames(given, wanted, 3.0), 3 + slope * given)


@pytest.mark.parametrize("rank", [1, 3, 8, 20])
def test_a_low_rank_keeps_the_directions_of_most_variance(rank) -> None:
    given = torch.randn(100, 8)
    wanted = given @ torch.randn(8, 8) + 0.1 * torch.randn(100, 8)
    made, free = fitted_frames(given, wanted, 0.1, rank), fitted_frames(given, wanted, 0.1)
    scale = wanted.std(0, unbiased=False)
    centred, full = ((frames - wanted.mean(0)) / scale for frames in (made, free))
    assert torch.linalg.matrix_rank(centred, rtol=1e-4) == min(rank, 8)
    left, values, right = torch.linalg.svd(full, full_matrices=False)
    values[rank:] = 0
    torch.testing.assert_close(centred, left @ values.diag() @ right, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rank", [None, 2])
def test_one_frame_becomes_its_target(rank) -> None:
    wanted = torch.randn(1, 8)
    torch.testing.assert_close(fitted_frames(torch.randn(1, 8), wanted, 1.0, rank), wanted)


def test_silence_stays_finite() -> None:
    still = torch.full((50, 8), 0.1) + 1e-9 * torch.randn(50, 8)
    assert bool(fitted_frames(still, torch.randn(50, 8), 1.0).isfinite().all())
    assert bool(fitted_frames(still, still, 1.0).isfinite().all())


def test_conversion_moves_a_speaker_into_the_voice() -> None:
    """Two speakers say the same phones, in another order, through maps of their own; pairs are found by likeness."""
    phones = 2 * torch.randn(12, 8)
    said, theirs = (phones[torch.randint(12, (count,))] + 0.3 * torch.randn(count, 8) for count in (300, 600))
    askew = 0.15 * torch.randn(8, 8)
    turn = torch.matrix_exp(askew - askew.T) * torch.linspace(0.5, 2, 8)
    made = linear(ridge=0.1).convert(source(said, 300), {"content": theirs @ turn + 4})
    wanted = said @ turn + 4
    shifted = said - said.mean(dim=0) + wanted.mean(dim=0)  # what the voice's mean alone gives
    off_by_mean, off = (float((frames - wanted).square().mean()) for frames in (shifted, made.values[0]))
    assert made.lengths.tolist() == [300]
    assert off < 0.2 * off_by_mean


def test_enrolment_keeps_the_valid_frames() -> None:
    content = Frames(torch.randn(2, 6, 8), torch.tensor([6, 3]))
    kept = linear().enroll(content, content)
    assert set(kept) == {"content"}
    assert torch.equal(kept["content"], torch.cat([content.values[0], content.values[1, :3]]))


def test_with_a_vocoder_of_frames_there_is_nothing_to_train() -> None:
    head = linear()
    assert list(head.parameters()) == []
    assert head.loss(source(torch.randn(4, 8), 4), None, Frames.of(torch.randn(1, 4, 8))) is None


def test_the_decoder_learns_from_plain_recordings_without_an_embedding() -> None:
    head = linear(MEL)
    batch = source(torch.randn(20, 8), 40)
    target = Frames.of(torch.cat([batch.content.values[0, :, :5]] * 2, dim=1).view(1, 40, 5) - 4)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    first = head.loss(batch, None, target)
    assert first is not None
    for _ in range(60):
        loss = head.loss(batch, None, target)
        assert loss is not None
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
    assert loss.value.item() < 0.5 * first.value.item()
    assert loss.metrics["l1"].item() == loss.value.item()
    other = head.loss(batch, torch.randn(1, 4), target)
    assert other is not None
    assert torch.equal(other.value, head.loss(batch, None, target).value)  # type: ignore[union-attr]


@pytest.mark.parametrize("padding", [0.0, math.nan])
def test_the_loss_reads_no_padding(padding) -> None:
    head, lengths = linear(MEL), torch.tensor([9, 4])
    content = Frames(torch.randn(2, 9, 8), lengths)
    mel = Frames(torch.randn(2, 18, 5), 2 * lengths)
    batch = Source(content, CONTENT, Frames(torch.randn(2, 18, 2), 2 * lengths))
    padded = Source(
        content.with_values(content.values.where(content.mask(), padding)),
        CONTENT,
        batch.pitch.with_values(batch.pitch.values.where(mel.mask(), padding)),
    )
    loss, expected = head.loss(padded, None, mel), head.loss(batch, None, mel)
    assert loss is not None
    assert expected is not None
    torch.testing.assert_close(loss.value, expected.value)


def test_a_mix_averages_the_moved_frames() -> None:
    batch = source(torch.randn(30, 8), 30)
    voices = [{"content": torch.randn(50, 8) + shift} for shift in (-3, 5)]
    head = linear()
    first, second = (head.convert(batch, voice).values for voice in voices)
    mixed = head.convert_mix(batch, [(voices[0], 0.25), (voices[1], 0.75)])
    torch.testing.assert_close(mixed.values, 0.25 * first + 0.75 * second)
    decoded = linear(MEL)
    between = (
        decoded.move(batch.content, voices[0]).values * 0.25 + decoded.move(batch.content, voices[1]).values * 0.75
    )
    pitch = Frames.of(torch.zeros(1, 60, 2))
    made = decoded.convert_mix(Source(batch.content, CONTENT, pitch), [(voices[0], 0.25), (voices[1], 0.75)])
    torch.testing.assert_close(made.values, decoded.decode(Frames.of(between[0]), pitch).values)


def test_a_voice_that_was_not_enrolled() -> None:
    with pytest.raises(VoiceError, match=r"no reference frames; enroll it with recordings"):
        linear().convert(source(torch.randn(4, 8), 4), {"embedding": torch.ones(2)})


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"k": 0}, "got k=0, rank=None"),
        ({"rank": 0}, "got k=4, rank=0"),
        ({"ridge": 0.0}, "ridge must be above 0 and finite, got 0.0"),
        ({"ridge": math.nan}, "got nan"),
        ({"acoustic": FrameSpec(16000, 320, 9)}, "the backbone's 8 channels, but this vocoder reads 9"),
        ({"acoustic": MEL, "width": 0}, "width, blocks and fine_blocks must be 1 or more"),
    ],
)
def test_options_out_of_range(options, part) -> None:
    with pytest.raises(ContractError) as error:
        Linear(**({"frames": CONTENT, "acoustic": CONTENT} | options))
    assert part in str(error.value)
