from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.heads.speaker import SpeakerAAM, SpeakerClassifier
from vczoo.modules.interfaces.heads import SpeakerHead

SPEC = FrameSpec(16000, 320, 6)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def classifier(**options: object) -> SpeakerClassifier:
    return SpeakerClassifier(frames=SPEC, num_speakers=3, **options)  # type: ignore[arg-type]


def aam(**options: object) -> SpeakerAAM:
    return SpeakerAAM(frames=SPEC, num_speakers=3, **options)  # type: ignore[arg-type]


def toy(items: int = 24, seed: int = 0) -> tuple[Frames, torch.Tensor]:
    """Frames whose mean tells the speaker, of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    speakers = torch.arange(items) % 3
    centres = 2 * torch.eye(6)[:3]
    values = centres[speakers][:, None] + torch.randn(items, 12, 6, generator=generator)
    return Frames(values, torch.randint(4, 13, (items,), generator=generator)), speakers


def train(head: SpeakerHead, steps: int = 40) -> list[float]:
    frames, speakers = toy()
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    losses = []
    for _ in range(steps):
        loss = head.train().loss(frames, speakers)
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
        losses.append(float(loss.value.detach()))
    return losses


def test_the_classifier_is_the_seed_architecture() -> None:
    head = SpeakerClassifier(frames=FrameSpec(16000, 320, 40), num_speakers=7)
    linear = [(module.in_features, module.out_features) for module in head.modules() if isinstance(module, nn.Linear)]
    assert linear == [(80, 1024), (1024, 512), (512, 7)]  # the input: mean and deviation of 40 channels
    assert [module.p for module in head.modules() if isinstance(module, nn.Dropout)] == [0.5, 0.5]
    assert (head.embedding_width, head.num_speakers) == (512, 7)
    frames = Frames.of(torch.randn(2, 9, 40))
    assert head.embed(frames).shape == (2, 512)
    assert head.logits(frames).shape == (2, 7)


def test_the_embedding_is_the_last_hidden_layer_and_the_logits_stand_on_it() -> None:
    head = classifier(hidden=(8, 5)).eval()
    frames, _ = toy(4)
    hidden = head.body(frames.pool())
    torch.testing.assert_close(head.embed(frames), hidden / hidden.norm(dim=1, keepdim=True))
    torch.testing.assert_close(head.logits(frames), head.output(hidden.clamp(min=0)))


@pytest.mark.parametrize("make", [classifier, aam])
def test_embeddings_have_length_one(make) -> None:
    embedding = make().embed(toy()[0])
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(24))


def test_dropout_works_in_training_alone() -> None:
    head, (frames, speakers) = classifier(), toy(6)
    assert not torch.equal(head.train().logits(frames), head.logits(frames))
    assert torch.equal(head.eval().logits(frames), head.logits(frames))
    assert head.loss(frames, speakers).value.item() == head.loss(frames, speakers).value.item()
    none = classifier(dropout=0.0).train()
    assert torch.equal(none.logits(frames), none.logits(frames))


@pytest.mark.parametrize("make", [classifier, aam])
def test_the_loss_falls_and_new_recordings_are_recognised(make) -> None:
    head = make()
    losses = train(head)
    assert losses[-1] < 0.2 * losses[0]
    frames, speakers = toy(60, seed=1)
    loss = head.eval().loss(frames, speakers)
    assert loss.metrics["accuracy"].item() > 0.9
    embedding = head.embed(frames)
    cosine = embedding @ embedding.T
    same = speakers[:, None] == speakers[None]
    assert cosine[same].mean() > cosine[~same].mean() + 0.5


def test_the_classifiers_loss_is_cross_entropy() -> None:
    head, (frames, speakers) = classifier().eval(), toy(5)
    logits = head.logits(frames).detach().double().numpy()
    by_hand = np.mean(
        [np.log(np.exp(row).sum()) - row[speaker] for row, speaker in zip(logits, speakers.tolist(), strict=True)]
    )
    loss = head.loss(frames, speakers)
    assert loss.value.item() == pytest.approx(by_hand, rel=1e-5)
    assert loss.metrics["accuracy"].item() == pytest.approx(np.mean(logits.argmax(axis=1) == speakers.numpy()))


@pytest.mark.parametrize("make", [classifier, aam])
def test_growing_keeps_the_old_rows_bit_identical(make) -> None:
    head, (frames, _) = make(), toy(6)
    train(head, steps=3)
    rows = head.output.weight if isinstance(head, SpeakerClassifier) else head.centres
    before, logits, embedding = rows.detach().clone(), head.eval().logits(frames), head.embed(frames)
    head.grow(5)
    rows = head.output.weight if isinstance(head, SpeakerClassifier) else head.centres
    assert head.num_speakers == 5
    assert rows.shape[0] == 5
    assert torch.equal(rows[:3], before)
    assert torch.equal(head.embed(frames), embedding)
    torch.testing.assert_close(head.logits(frames)[:, :3], logits)
    assert all(parameter.requires_grad for parameter in head.parameters())
    loss = head.loss(frames, torch.full((6,), 4))  # the newest speaker can be learnt
    loss.value.backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    if isinstance(head, SpeakerClassifier):
        assert head.output.bias.shape == (5,)


def aam_loss_by_hand(cosine: np.ndarray, speakers: list[int], margin: float, scale: float) -> float:
    """ArcFace, equation 3, and past pi - margin the straight line that its authors' code takes."""
    logits = cosine.astype(np.float64).copy()
    for row, speaker in enumerate(speakers):
        angle = np.arccos(cosine[row, speaker])
        if angle < np.pi - margin:
            logits[row, speaker] = np.cos(angle + margin)
        else:
            logits[row, speaker] = cosine[row, speaker] - margin * np.sin(margin)
    logits *= scale
    right = logits[np.arange(len(speakers)), speakers]
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - right))


@pytest.mark.parametrize(("margin", "scale"), [(0.2, 30.0), (0.5, 8.0), (0.0, 10.0)])
def test_the_margin_is_arcfaces(margin, scale) -> None:
    head, (frames, speakers) = aam(margin=margin, scale=scale), toy(9)
    with torch.no_grad():  # one item stands opposite to its centre, past pi - margin
        head.centres[int(speakers[0])] = -3 * head.embed(frames)[0]
    cosine = (head.logits(frames) / scale).detach().numpy()
    assert cosine.min() < -0.99
    by_hand = aam_loss_by_hand(cosine, speakers.tolist(), margin, scale)
    assert head.loss(frames, speakers).value.item() == pytest.approx(by_hand, rel=1e-3)
    if margin == 0:
        plain = nn.functional.cross_entropy(head.logits(frames), speakers)
        assert plain.item() == pytest.approx(by_hand, rel=1e-3)


def test_a_worked_margin() -> None:
    """Two speakers, 60 degrees from the right centre and 90 from the other: cos(60 deg + 0.2) = .318."""
    head = SpeakerAAM(frames=FrameSpec(16000, 320, 1), num_speakers=2, width=2, margin=0.2, scale=10.0)
    head.body = nn.Sequential(nn.Identity())
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[0.5, math.sqrt(0.75)], [0.0, -1.0]]))
    frames = Frames.of(torch.full((1, 2, 1), 1e6))  # pooled: (1e6, a deviation of almost 0)
    assert math.cos(math.pi / 3 + 0.2) == pytest.approx(0.318, abs=1e-4)
    expected = math.log(1 + math.exp(10 * (0.0 - math.cos(math.pi / 3 + 0.2))))
    assert head.loss(frames, torch.tensor([0])).value.item() == pytest.approx(expected, rel=1e-3)


def test_a_larger_angle_always_costs_more() -> None:
    head = SpeakerAAM(frames=FrameSpec(16000, 320, 1), num_speakers=2, width=2, margin=0.4, scale=1.0)
    head.body = nn.Sequential(nn.Identity())
    frames = Frames.of(torch.full((1, 2, 1), 1e6))
    losses = []
    for angle in np.linspace(0.01, np.pi - 0.01, 100):
        with torch.no_grad():
            # The other centre stays at a right angle to the item.
            head.centres.copy_(torch.tensor([[math.cos(angle), math.sin(angle)], [0.0, 1.0]]))
        losses.append(head.loss(frames, torch.tensor([0])).value.item())
    assert (np.diff(losses) > 0).all()


def test_the_gradient_is_finite_where_an_item_meets_its_centre() -> None:
    head, (frames, speakers) = aam(), toy(3)
    with torch.no_grad():
        head.centres.copy_(head.embed(frames))
    head.loss(frames, speakers).value.backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: classifier(hidden=()), "hidden must have at least one width, each 1 or more; got []"),
        (lambda: classifier(hidden=(4, 0)), "got [4, 0]"),
        (lambda: classifier(dropout=1.0), "dropout must be in [0, 1), got 1.0"),
        (lambda: aam(margin=-0.1), "margin must be an angle in [0, pi / 2) radians, got -0.1"),
        (lambda: aam(margin=1.6), "got 1.6"),
        (lambda: aam(scale=0.0), "scale must be above 0, got 0.0"),
        (lambda: aam(scale=math.nan), "scale must be above 0, got nan"),
        (lambda: aam(width=0), "width must be 1 or more, got 0"),
    ],
)
def test_sizes_out_of_range(make, part) -> None:
    with pytest.raises(ContractError) as error:
        make()
    assert part in str(error.value)


def test_the_angular_margin_survives_half_precision() -> None:
    """Cosines near 1 are a step of .004 apart in bfloat16: more than the angles of two recordings of one speaker."""
    torch.manual_seed(0)
    head = SpeakerAAM(frames=FrameSpec(16000, 160, 8), num_speakers=3)
    frames = Frames.of(torch.randn(4, 20, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, loss = head.logits(frames), head.loss(frames, torch.tensor([0, 1, 2, 0]))
    assert logits.dtype == loss.value.dtype == torch.float32
    assert len(logits.unique()) == logits.numel()
