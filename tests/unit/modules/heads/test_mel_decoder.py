from __future__ import annotations

import math

import pytest
import torch

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.errors import ContractError, VoiceError
from vczoo.modules.heads.mel_decoder import MelDecoder
from vczoo.modules.interfaces.heads import Source
from vczoo.modules.nn.nearest_frames import retrieve

CONTENT = FrameSpec(16000, 320, 12)
MEL = MelSpec(num_mels=10)
WIDTH = 6  # of the embedding


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    return (first - second).detach().abs().mean().item()


def decoder(**options: object) -> MelDecoder:
    given = {"frames": CONTENT, "acoustic": MEL, "embedding_width": WIDTH, "width": 16, "blocks": 4, "bottleneck": 8}
    return MelDecoder(**(given | options))  # type: ignore[arg-type]


def source(*lengths: int, padding: float = 0.0) -> Source:
    """Items of so many content frames and twice as many acoustic ones, with this value in the padding."""
    content = Frames(torch.randn(len(lengths), max(lengths), 12), torch.tensor(lengths))
    twice = torch.tensor(lengths) * 2
    log_f0 = torch.randn(len(lengths), 2 * max(lengths), 1)
    pitch = Frames(torch.cat([log_f0, (log_f0 > 0).float()], dim=2), twice)
    return Source(
        content.with_values(content.values.where(content.mask(), padding)),
        CONTENT,
        pitch.with_values(pitch.values.where(pitch.mask(), padding)),
    )


def test_shapes_follow_the_pitch_and_the_mel() -> None:
    made = decoder().eval().decode(source(9, 4), torch.randn(2, WIDTH))
    assert made.values.shape == (2, 18, 10)
    assert made.lengths.tolist() == [18, 8]
    coarse = decoder(frames=FrameSpec(16000, 1280, 12)).eval().decode(source(9), torch.randn(1, WIDTH))
    assert coarse.values.shape == (1, 18, 10)


@pytest.mark.parametrize("padding", [0.0, 1e6, math.nan])
def test_a_batch_gives_what_its_items_give(padding) -> None:
    head = decoder().eval()
    batch, embedding = source(11, 5, 1, padding=padding), torch.randn(3, WIDTH)
    together = head.decode(batch, embedding)
    for index in range(3):
        alone = head.decode(Source(batch.content[index], CONTENT, batch.pitch[index]), embedding[index : index + 1])
        torch.testing.assert_close(together[index].values, alone.values, atol=1e-5, rtol=1e-4)


def test_the_loss_is_l1_over_valid_frames() -> None:
    head, batch, embedding = decoder().eval(), source(6, 3, padding=math.nan), torch.randn(2, WIDTH)
    target = Frames(torch.randn(2, 12, 10), batch.pitch.lengths)
    target = target.with_values(target.values.where(target.mask(), math.nan))
    made = head.decode(batch, embedding)
    apart = [(made[index].values - target[index].values).abs().flatten() for index in range(2)]
    loss = head.loss(batch, embedding, target)
    assert loss.value.item() == pytest.approx(torch.cat(apart).mean().item(), rel=1e-5)
    assert loss.metrics["l1"].item() == loss.value.item()
    assert not loss.metrics["l1"].requires_grad


def test_a_gradient_reaches_every_parameter_even_beside_nan_padding() -> None:
    head, batch = decoder().train(), source(6, 3, padding=math.nan)
    head.loss(batch, torch.randn(2, WIDTH), Frames(torch.randn(2, 12, 10), batch.pitch.lengths)).value.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0 or name == "squeeze.1.bias", name  # the normalisation takes it away


def test_the_embedding_steers() -> None:
    head, batch = decoder().eval(), source(6)
    first, second = head.decode(batch, torch.randn(1, WIDTH)), head.decode(batch, torch.randn(1, WIDTH))
    assert distance(first.values, second.values) > 0.01
    direction = torch.randn(1, WIDTH)
    torch.testing.assert_close(head.decode(batch, direction).values, head.decode(batch, 5 * direction).values)


def test_pitch_is_heard() -> None:
    head, batch, embedding = decoder().eval(), source(6), torch.randn(1, WIDTH)
    higher = batch.pitch.with_values(batch.pitch.values + torch.tensor([1.0, 0.0]))
    first = head.decode(batch, embedding).values
    second = head.decode(Source(batch.content, CONTENT, higher), embedding).values
    assert distance(first, second) > 0.01


def test_what_is_constant_in_squeezed_content_is_lost() -> None:
    """A speaker who adds to and scales every channel of the bottleneck cannot be told from one who does not."""
    head, batch, embedding = decoder().eval(), source(20), torch.randn(1, WIDTH)
    plain = head.decode(batch, embedding).values
    weight, bias = head.squeeze[1].weight, head.squeeze[1].bias
    with torch.no_grad():
        gains = torch.rand(8) + 2
        weight.mul_(gains[:, None])
        bias.copy_(bias * gains + torch.randn(8))
    torch.testing.assert_close(head.decode(batch, embedding).values, plain, atol=1e-2, rtol=1e-2)
    with torch.no_grad():
        weight.copy_(torch.randn_like(weight))
    assert distance(head.decode(batch, embedding).values, plain) > 0.01


def test_it_starts_at_the_level_of_quiet_speech() -> None:
    made = decoder().eval().decode(source(30), torch.randn(1, WIDTH)).values
    assert made.mean().item() == pytest.approx(-6.0, abs=0.5)


def test_it_learns_to_follow_its_voice() -> None:
    """Two voices, each with a level of its own: the level comes from the embedding, since content has lost it."""
    head, batch = decoder(dropout=0.0), source(8, 8)
    embedding = torch.eye(WIDTH)[:2]
    target = Frames(torch.stack([torch.full((16, 10), -2.0), torch.full((16, 10), -8.0)]), batch.pitch.lengths)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    for _ in range(60):
        loss = head.train().loss(batch, embedding, target)
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
    assert loss.value.item() < 1.0
    swapped = head.eval().decode(batch, embedding.flip(0)).values.mean(dim=(1, 2))
    assert swapped[0] < -6.5 < -3.5 < swapped[1]


def test_one_voice_serves_a_batch() -> None:
    head, batch, embedding = decoder().eval(), source(5, 5), torch.randn(WIDTH)
    made = head.convert(batch, {"embedding": embedding})
    torch.testing.assert_close(made.values, head.decode(batch, embedding.expand(2, -1)).values)


def test_a_voice_or_a_recipe_without_an_embedding() -> None:
    head, batch = decoder(), source(5)
    with pytest.raises(VoiceError, match="no speaker embedding; enroll it"):
        head.convert(batch, {})
    with pytest.raises(ContractError, match="needs the embedding of a speaker head"):
        head.loss(batch, None, Frames.of(torch.randn(1, 10, 10)))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"acoustic": FrameSpec(16000, 320, 4)}, "predicts a mel, but the vocoder reads FrameSpec frames"),
        ({"bottleneck": 0}, "bottleneck must be 1 or more, got 0"),
        ({"width": 0}, "width, blocks and fine_blocks must be 1 or more, got 0, 4 and 1"),
        ({"blocks": 0}, "got 16, 0 and 1"),
        ({"dropout": 1.0}, "dropout must be in [0, 1), got 1.0"),
    ],
)
def test_options_out_of_range(options, part) -> None:
    with pytest.raises(ContractError) as error:
        decoder(**options)
    assert part in str(error.value)


def test_retrieval_moves_content_to_the_voices_own_frames() -> None:
    """With all of it retrieved, a source is decoded as the voice's own frames that are nearest to it."""
    made = decoder(retrieval=1.0).eval()
    spoken = torch.randn(1, 60, CONTENT.channels)
    kept = made.enroll(Frames.of(spoken), Frames.of(torch.randn(1, 120, MEL.num_mels)))
    assert kept["frames"].shape == (60, CONTENT.channels)
    assert "frames" not in decoder(retrieval=0.0).enroll(
        Frames.of(spoken), Frames.of(torch.randn(1, 120, MEL.num_mels))
    )
    own = Source(Frames.of(spoken), CONTENT, Frames.of(torch.zeros(1, 120, 2)))
    voice = {**kept, "embedding": torch.ones(WIDTH)}
    expected = retrieve(own.content, CONTENT.frame_rate_hz, kept["frames"], 4)
    plain = {name: tensor for name, tensor in voice.items() if name != "frames"}
    assert torch.allclose(
        made.convert(own, voice).values, made.convert(Source(expected, CONTENT, own.pitch), plain).values, atol=1e-5
    )
    assert not torch.allclose(made.convert(own, voice).values, made.convert(own, plain).values, atol=1e-2)


def test_a_decoded_mel_has_the_moments_of_the_voice_and_the_level_of_the_source() -> None:
    made = decoder().eval()
    target = torch.randn(1, 400, MEL.num_mels) * 0.7 - 5 + torch.linspace(-2, 2, MEL.num_mels)
    kept = made.enroll(Frames.of(torch.randn(1, 200, CONTENT.channels)), Frames.of(target))
    source = Source(Frames.of(torch.randn(1, 500, CONTENT.channels)), CONTENT, Frames.of(torch.zeros(1, 1000, 2)))
    embedding = torch.ones(WIDTH)
    before, after = (
        made.convert(source, voice).values[0] for voice in ({"embedding": embedding}, {**kept, "embedding": embedding})
    )
    assert after.mean().item() == pytest.approx(before.mean().item(), abs=0.05)
    own, wanted = (values - values.mean() for values in (after.mean(dim=0), kept["mean"]))
    apart = (before.mean(dim=0) - before.mean() - wanted).abs().mean()
    assert (own - wanted).abs().mean() < 0.1 * apart


def test_each_item_is_moved_to_the_moments_of_its_own_voice() -> None:
    made = decoder().eval()
    mel, voices = torch.randn(2, 300, MEL.num_mels), Frames.of(torch.randn(2, 300, MEL.num_mels) * 0.5 + 1)
    mean, deviation = made.statistics(voices)
    together = made.matched(Frames.of(mel), mean, deviation).values
    for index in range(2):
        alone = made.matched(Frames.of(mel[index : index + 1]), mean[index], deviation[index])
        torch.testing.assert_close(together[index : index + 1], alone.values)
    assert not torch.allclose(mean[0], mean[1], atol=0.01)


def test_equal_frames_have_a_gradient() -> None:
    mel = torch.zeros(1, 30, MEL.num_mels, requires_grad=True)
    mean, deviation = torch.ones(MEL.num_mels), torch.ones(MEL.num_mels)
    decoder().matched(Frames.of(mel), mean, deviation).values.sum().backward()
    assert mel.grad is not None
    assert mel.grad.isfinite().all()
