"""The ConvNeXt decoder: rates, padding, pitch at the content's rate, steering, gradients."""

from __future__ import annotations

import math

import pytest
import torch

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.errors import ContractError
from vczoo.modules.nn.convnext import ConvDecoder, mean_absolute_error

CONTENT = FrameSpec(16000, 320, 12)
MEL = MelSpec(num_mels=10)  # two frames to one of content


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def decoder(**options: object) -> ConvDecoder:
    given = {
        "frames": CONTENT,
        "acoustic": MEL,
        "channels": 6,
        "embedding_width": 0,
        "width": 16,
        "blocks": 4,
        "fine_blocks": 2,
    }
    return ConvDecoder(**(given | options)).eval()  # type: ignore[arg-type]


def pitch_of(frames: int) -> Frames:
    log_f0 = torch.randn(1, frames, 1)
    return Frames.of(torch.cat([log_f0.clamp(min=0), (log_f0 > 0).float()], dim=2))


@pytest.mark.parametrize(
    "acoustic", [MEL, MelSpec(hop_length=256, centred=False), MelSpec(24000, 100, hop_length=256, max_hz=12000.0)]
)
@pytest.mark.parametrize("samples", [1, 200, 3200, 16123])
def test_it_makes_as_many_frames_as_pitch_has(acoustic, samples) -> None:
    content = Frames.of(torch.randn(1, CONTENT.num_frames(samples), 6))
    count = acoustic.num_frames(samples * acoustic.sample_rate_hz // 16000)
    made = decoder(acoustic=acoustic)(content, pitch_of(count))
    assert made.values.shape == (1, count, acoustic.num_mels)
    assert made.lengths.tolist() == [count]


@pytest.mark.parametrize("padding", [0.0, 1e6, math.nan])
def test_a_batch_gives_what_its_items_give(padding) -> None:
    part, lengths = decoder(), (15, 6, 1)
    contents = [Frames.of(torch.randn(1, length, 6)) for length in lengths]
    pitches = [pitch_of(2 * length) for length in lengths]
    content, pitch = Frames.batch(contents), Frames.batch(pitches)
    together = part(
        content.with_values(content.values.where(content.mask(), padding)),
        pitch.with_values(pitch.values.where(pitch.mask(), padding)),
    )
    for index in range(3):
        alone = part(contents[index], pitches[index])
        torch.testing.assert_close(together[index].values, alone.values, rtol=1e-4, atol=1e-5)


def test_an_unvoiced_neighbour_does_not_pull_pitch_down() -> None:
    """Between a voiced frame of 0.8 and one without pitch stands half a voiced frame, of 0.8."""
    seen = []
    part = decoder(acoustic=MelSpec(hop_length=640, num_mels=10))  # a frame of pitch to two of content
    part.enter.register_forward_hook(lambda module, given, made: seen.append(given[0][..., 6:]))
    pitch = Frames.of(torch.tensor([[0.8, 1.0], [0.0, 0.0], [0.0, 0.0]]))
    part(Frames.of(torch.randn(1, 6, 6)), pitch)
    torch.testing.assert_close(seen[0][0, :3], torch.tensor([[0.8, 1.0], [0.8, 0.5], [0.0, 0.0]]))


def test_frames_between_hops_are_read_half_a_hop_later() -> None:
    """A ramp of content, seen by the fine blocks: frame t of an uncentred mel stands at t + 1/2 hops."""
    part = decoder(channels=1, acoustic=MelSpec(hop_length=320, num_mels=10, centred=False))
    seen = []
    part.enter_fine.register_forward_hook(lambda module, given, made: seen.append(given[0]))
    for block in part.blocks:
        torch.nn.init.zeros_(block.narrow.weight)
        torch.nn.init.zeros_(block.narrow.bias)
    torch.nn.init.ones_(part.enter.weight)
    torch.nn.init.zeros_(part.enter.bias)
    silent = Frames.of(torch.zeros(1, 8, 2))
    part(Frames.of(torch.arange(8.0).view(1, 8, 1)), silent)
    torch.testing.assert_close(seen[0][0, :7, 0], torch.arange(7.0) + 0.5)


def test_an_embedding_steers_it_and_none_is_needed() -> None:
    content, pitch = Frames.of(torch.randn(1, 5, 6)), pitch_of(10)
    steered = decoder(embedding_width=3)
    first, second = (steered(content, pitch, torch.randn(1, 3)).values for _ in range(2))
    assert float((first - second).abs().max().detach()) > 1e-3
    free = decoder()
    assert not any("film" in name for name, _ in free.named_parameters())
    assert torch.equal(free(content, pitch).values, free(content, pitch, torch.randn(1, 3)).values)


@pytest.mark.parametrize("embedding_width", [0, 3])
def test_gradients_reach_every_parameter_past_nan_padding(embedding_width) -> None:
    part = decoder(embedding_width=embedding_width).train()
    content = Frames(torch.randn(2, 6, 6), torch.tensor([6, 2]))
    pitch = Frames(torch.full((2, 12, 2), math.nan), torch.tensor([12, 4]))
    pitch = pitch.with_values(torch.rand(2, 12, 2).where(pitch.mask(), math.nan))
    target = Frames(torch.randn(2, 12, 10).where(pitch.mask(), math.nan), pitch.lengths)
    steer = torch.randn(2, embedding_width) if embedding_width else None
    loss = mean_absolute_error(part(content, pitch, steer), target)
    loss.backward()
    for name, parameter in part.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name


def test_the_mean_absolute_error_of_valid_frames() -> None:
    made = Frames(torch.tensor([[[1.0, 2.0], [9.0, 9.0]], [[0.0, 0.0], [3.0, 1.0]]]), torch.tensor([1, 2]))
    target = Frames(torch.tensor([[[0.0, 0.0], [math.nan, 5.0]], [[1.0, 0.0], [3.0, 3.0]]]), torch.tensor([1, 2]))
    assert mean_absolute_error(made, target).item() == pytest.approx((1 + 2 + 1 + 0 + 0 + 2) / 6)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"width": 0}, "got 0, 4 and 2"),
        ({"blocks": 0}, "got 16, 0 and 2"),
        ({"fine_blocks": 0}, "got 16, 4 and 0"),
    ],
)
def test_sizes_out_of_range(options, part) -> None:
    with pytest.raises(ContractError) as error:
        decoder(**options)
    assert part in str(error.value)
