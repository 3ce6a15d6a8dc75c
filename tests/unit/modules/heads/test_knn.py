from __future__ import annotations

import pytest
import torch

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.errors import ContractError, VoiceError
from vczoo.modules.heads.knn import KNN
from vczoo.modules.interfaces.heads import Source
from vczoo.testing import check_head

CONTENT = FrameSpec(16000, 320, 8)
MEL = MelSpec(num_mels=5)  # two frames to one of content


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


def source(content: torch.Tensor, frames: int, spec: FrameSpec = CONTENT) -> Source:
    return Source(Frames.of(content), spec, Frames.of(torch.zeros(1, frames, 2)))


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("acoustic", [MEL, CONTENT, MelSpec(hop_length=256, num_mels=5, centred=False)])
def test_it_keeps_the_promises_of_a_head(acoustic, centre) -> None:
    check_head(KNN(frames=CONTENT, acoustic=acoustic, centre=centre), frames=CONTENT, acoustic=acoustic)


@pytest.mark.parametrize("centre", [True, False])
def test_enrolment_keeps_every_frame_at_the_acoustic_rate(centre) -> None:
    content = Frames(torch.randn(2, 6, 8), torch.tensor([6, 3]))
    acoustic = Frames(torch.randn(2, 11, 5), torch.tensor([11, 5]))
    kept = KNN(frames=CONTENT, acoustic=MEL, centre=centre).enroll(content, acoustic)
    assert set(kept) == {"keys", "acoustic", "mean"} - (set() if centre else {"mean"})
    assert kept["keys"].shape == (16, 8)
    torch.testing.assert_close(kept["keys"].norm(dim=1), torch.ones(16))
    assert torch.equal(kept["acoustic"], torch.cat([acoustic.values[0], acoustic.values[1, :5]]))
    mean = torch.cat([content.values[0], content.values[1, :3]]).mean(dim=0) if centre else torch.zeros(8)
    torch.testing.assert_close(kept.get("mean", mean), mean)
    torch.testing.assert_close(kept["keys"][11], torch.nn.functional.normalize(content.values[1, 0] - mean, dim=0))


def test_conversion_gives_the_acoustic_frames_of_the_same_content() -> None:
    """Content of either speaker is a row of symbols; each speaker says a symbol in a way of its own."""
    head = KNN(frames=CONTENT, acoustic=FrameSpec(16000, 320, 3), k=2, centre=False)
    symbols, said = unit(5, 8), torch.randn(5, 3)
    spoken, asked = torch.tensor([0, 1, 2, 3, 4, 4, 3, 2, 1, 0]), torch.tensor([3, 3, 0, 4, 1])
    loudness = torch.rand(10, 1) + 0.5  # the match is by cosine
    voice = head.enroll(Frames.of(symbols[spoken] * loudness), Frames.of(said[spoken]))
    made = head.convert(source(7 * symbols[asked], 5), voice)
    assert made.lengths.tolist() == [5]
    torch.testing.assert_close(made.values[0], said[asked])


def test_centring_takes_away_what_the_speakers_differ_in() -> None:
    """Each speaker adds something to every frame, larger than what is said: without centring it decides the match."""
    symbols, theirs, ours = unit(5, 8), 4 * unit(8), 4 * unit(8)
    asked = torch.randint(5, (200,))
    right = {}
    for centre in (True, False):
        head = KNN(frames=CONTENT, acoustic=CONTENT, k=1, centre=centre)
        voice = head.enroll(Frames.of(symbols + theirs), Frames.of(symbols + theirs))
        made = head.convert(source(symbols[asked] + ours, 200), voice).values[0]
        right[centre] = float(((made - (symbols + theirs)[asked]).norm(dim=1) < 1e-4).float().mean())
    assert right[True] == 1
    assert right[False] < 0.7  # chance is .2


def test_a_vocoder_of_frames_gets_the_voices_own_uncentred_frames() -> None:
    head = KNN(frames=CONTENT, acoustic=CONTENT, k=1)
    spoken = torch.randn(40, 8) + 3
    voice = head.enroll(Frames.of(spoken), Frames.of(spoken))
    made = head.convert(source(torch.randn(10, 8), 10), voice).values[0]
    assert all(any(torch.equal(frame, own) for own in spoken) for frame in made)


def test_the_mean_of_k_neighbours() -> None:
    content = torch.eye(8)[[0, 0, 0, 1]]
    acoustic = torch.tensor([[1.0], [2.0], [6.0], [100.0]])
    for k, expected in ((3, 3.0), (4, 27.25), (9, 27.25)):  # k beyond the reference takes all of it
        head = KNN(frames=CONTENT, acoustic=FrameSpec(16000, 320, 1), k=k)
        voice = head.enroll(Frames.of(content), Frames.of(acoustic))
        assert float(head.convert(source(torch.eye(8)[:1], 1), voice).values) == pytest.approx(expected)


def test_a_mix_is_the_average_of_the_conversions() -> None:
    head, batch = KNN(frames=CONTENT, acoustic=MEL), source(torch.randn(6, 8), 12)
    voices = [head.enroll(Frames.of(torch.randn(30, 8)), Frames.of(torch.randn(60, 5))) for _ in range(2)]
    first, second = (head.convert(batch, voice).values for voice in voices)
    mixed = head.convert_mix(batch, [(voices[0], 0.7), (voices[1], 0.3)])
    torch.testing.assert_close(mixed.values, 0.7 * first + 0.3 * second)
    assert mixed.lengths.tolist() == [12]


def test_it_has_nothing_to_train() -> None:
    head = KNN(frames=CONTENT, acoustic=MEL)
    assert list(head.parameters()) == []
    assert head.loss(source(torch.randn(4, 8), 8), None, Frames.of(torch.randn(1, 8, 5))) is None


def test_a_voice_that_was_not_enrolled() -> None:
    with pytest.raises(VoiceError, match=r"no reference frames; enroll it with recordings"):
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
