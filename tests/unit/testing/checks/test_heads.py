"""The conformance check finds each broken promise of heads, vocoders and freezing strategies."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.freezing.stages import None_
from vczoo.modules.heads.classifier import Classifier as LabelClassifier
from vczoo.modules.heads.ctc import CTC
from vczoo.modules.heads.distillation import Distil
from vczoo.modules.heads.knn import KNN
from vczoo.modules.heads.mel_decoder import MelDecoder
from vczoo.modules.heads.speaker import SpeakerClassifier
from vczoo.modules.interfaces.heads import Loss
from vczoo.modules.vocoders.griffin_lim import GriffinLim
from vczoo.modules.vocoders.griffin_lim_net import GriffinLimNet
from vczoo.testing import CONTEXT, check_freezing, check_head, check_vocoder

SPEC = FrameSpec(16000, 320, 24)


class Classifier(SpeakerClassifier):
    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(frames=SPEC, num_speakers=3, hidden=(8, 6))


class Long(Classifier):
    def embed(self, frames: Frames) -> Tensor:
        return 2 * super().embed(frames)


class ReadsPadding(Classifier):
    def logits(self, frames: Frames) -> Tensor:
        return super().logits(Frames.of(frames.values.nan_to_num()))


class Forgets(Classifier):
    def grow(self, num_speakers: int) -> None:
        self.output, self.num_speakers = nn.Linear(6, num_speakers), num_speakers


class Attached(Classifier):
    def loss(self, frames: Frames, speakers: Tensor) -> Loss:
        loss = super().loss(frames, speakers)
        return Loss(loss.value, {"loss": loss.value})


class Idle(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (Long, "embeddings must have length 1"),
        (ReadsPadding, "`logits` must not read padding"),
        (Forgets, "`grow` must keep the logits of the old speakers"),
        (Attached, "the metrics of a loss must be detached"),
        (Idle, "none reaches idle.weight, idle.bias"),
    ],
)
def test_a_speaker_head_that_breaks_a_promise(head, part) -> None:
    with pytest.raises(ContractError) as error:
        check_head(head(), frames=SPEC)
    assert part in str(error.value)


class Writer(CTC):
    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(frames=SPEC, alphabet=" abc", width=8, blocks=1, dropout=0.0)


class Unsure(Writer):
    def log_probabilities(self, frames: Frames) -> Frames:
        found = super().log_probabilities(frames)
        return found.with_values(found.values - 1)


class WritesPadding(Writer):
    def log_probabilities(self, frames: Frames) -> Frames:
        found = super().log_probabilities(Frames.of(frames.values.nan_to_num()))
        return Frames(found.values, frames.lengths)


class WritesMore(Writer):
    def transcribe(self, frames: Frames) -> list[str]:
        return ["?" for _ in range(len(frames))]


class TakesAll(Writer):
    """A text that does not fit costs nothing."""

    def loss(self, frames: Frames, texts: Any) -> Loss:
        fit = [text if self.frames_needed(text) <= n else "" for text, n in zip(texts, frames.lengths, strict=True)]
        return super().loss(frames, fit)


class IdleWriter(Writer):
    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Linear(2, 2)


class Labeller(LabelClassifier):
    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(frames=SPEC, labels=("angry", "calm", "sad"), dropout=0.0)


class Narrow(Labeller):
    def logits(self, frames: Frames) -> Tensor:
        return super().logits(frames)[:, :-1]


class LabelsPadding(Labeller):
    def logits(self, frames: Frames) -> Tensor:
        return super().logits(Frames.of(frames.values.nan_to_num()))


class IdleLabeller(Labeller):
    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Linear(2, 2)


class Pupil(Distil):
    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(frames=SPEC, channels=6)


class NarrowPupil(Pupil):
    def frames(self, content: Frames) -> Frames:
        made = super().frames(content)
        return made.with_values(made.values[..., :-1])


class PupilOfPadding(Pupil):
    def frames(self, content: Frames) -> Frames:
        made = super().frames(content)
        return made.with_values(made.values + content.values.nan_to_num().mean(dim=1, keepdim=True).sum())


class IdlePupil(Pupil):
    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Linear(2, 2)


class Relearns(Labeller):
    def relabel(self, labels: Any) -> None:
        self.labels, self.output = tuple(labels), nn.Linear(48, len(labels))


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (Unsure, "the probabilities at each time must add up to 1"),
        (WritesPadding, "`log_probabilities` must not read padding (item 1)"),
        (WritesMore, "`transcribe` must write only the alphabet, got '?'"),
        (TakesAll, "`loss` must reject a text that needs 799 frames if there are 4"),
        (IdleWriter, "none reaches idle.weight, idle.bias"),
        (Narrow, "`logits` must return (B, len(labels)): expected (3, 3), got (3, 2)"),
        (LabelsPadding, "`logits` must not read padding (item 1)"),
        (IdleLabeller, "none reaches idle.weight, idle.bias"),
        (Relearns, "`relabel` must keep the logits of the labels that stay"),
        (NarrowPupil, "`frames` must return (B, T, channels): expected (3, 30, 6), got (3, 30, 5)"),
        (PupilOfPadding, "`frames` must not read padding (item 0)"),
        (IdlePupil, "none reaches idle.weight, idle.bias"),
    ],
)
def test_a_text_label_or_frame_head_that_breaks_a_promise(head, part) -> None:
    with pytest.raises(ContractError) as error:
        check_head(head(), frames=SPEC)
    assert part in str(error.value)


def test_the_heads_that_they_are_made_of_keep_theirs() -> None:
    check_head(Writer(), frames=SPEC)
    check_head(Labeller(), frames=SPEC)
    check_head(Pupil(), frames=SPEC)


class Short(KNN):
    def convert(self, source: Any, voice: Any) -> Frames:
        made = super().convert(source, voice)
        return Frames(made.values[:, 1:], (made.lengths - 1).clamp(min=1))


class Untrained(MelDecoder):
    def loss(self, source: Any, embedding: Any, target: Any) -> Any:
        return None


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (lambda: Short(frames=SPEC, acoustic=MelSpec(num_mels=20)), "with the lengths of the pitch"),
        (lambda: Untrained(**{k: CONTEXT[k] for k in ("frames", "acoustic", "embedding_width")}), "must return a loss"),
        (lambda: nn.Linear(2, 2), "got Linear"),
    ],
)
def test_a_voice_head_that_breaks_a_promise(head, part) -> None:
    with pytest.raises(ContractError) as error:
        check_head(head(), frames=SPEC, acoustic=CONTEXT["acoustic"])
    assert part in str(error.value)


def test_a_voice_head_is_checked_with_its_acoustic_spec() -> None:
    with pytest.raises(ContractError, match="acoustic spec that it was built for"):
        check_head(KNN(frames=SPEC, acoustic=MelSpec()), frames=SPEC)


class Restless(GriffinLim):
    def forward(self, frames: Frames) -> Waveform:
        made = super().forward(frames)
        return Waveform(made.samples + torch.rand(()), made.sample_rate_hz, made.lengths)


class Slow(GriffinLim):
    def forward(self, frames: Frames) -> Waveform:
        made = super().forward(frames)
        return Waveform(made.samples, 8000, made.lengths)


class Whole(GriffinLim):
    def forward(self, frames: Frames) -> Waveform:
        return Waveform.of(super().forward(Frames.of(frames.values.nan_to_num(-9))).samples, 16000)


class Forgetful(GriffinLim):
    def follow(self, frames: Frames, before: Waveform) -> Waveform:
        return Waveform.of(self(frames).samples[:, before.samples.shape[1] :], 16000)


class Greedy(GriffinLim):
    def follow(self, frames: Frames, before: Waveform) -> Waveform:
        return Waveform.of(self(frames).samples * before.samples.square().mean(), 16000)


class Slower(GriffinLim):
    def follow(self, frames: Frames, before: Waveform) -> Waveform:
        return Waveform.of(self(frames).samples, 8000)


class Shorter(GriffinLimNet):
    def __init__(self, iterations: int) -> None:
        super().__init__(iterations=iterations, width=4, blocks=1)

    def rebuild(self, frames: Frames, real: Waveform) -> Waveform:
        return Waveform.of(super().rebuild(frames, real).samples[:, :-160], 16000)


class Deaf(Shorter):
    """In training, too, its phases are found by iteration, through which no gradient comes."""

    def rebuild(self, frames: Frames, real: Waveform) -> Waveform:
        return self(frames)


@pytest.mark.parametrize(
    ("vocoder", "part"),
    [
        (Forgetful, "`follow` after 161 samples must be as long as `forward`: expected (1, 2400), got (1, 2239)"),
        (Greedy, "`follow` after 0 samples must be finite"),
        (Slower, "`follow` must return the rate of `accepts`, 16000 Hz"),
        (Slow, "the waveform must have the rate of `accepts`, 16000 Hz"),
        (Whole, "5 frames must give 640 to 800 samples, got 2400"),
        (Restless, "an item must give the same waveform in a batch as by itself"),
        (Shorter, "`rebuild` must be as long as `forward`"),
        (Deaf, "gradient"),
    ],
)
def test_a_vocoder_that_breaks_a_promise(vocoder, part) -> None:
    with pytest.raises(ContractError) as error:
        check_vocoder(vocoder(iterations=2))
    assert part in str(error.value)


class Fickle(None_):
    """Gives other multipliers each time it is asked."""

    asked = 0

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        self.asked += 1
        return (float(self.asked),) * num_stages


def test_a_freezing_that_breaks_a_promise() -> None:
    with pytest.raises(ContractError, match="multipliers must depend only on the number of stages and the epoch"):
        check_freezing(Fickle())
    with pytest.raises(ContractError, match="the part must be a Freezing, got Linear"):
        check_freezing(nn.Linear(2, 2))  # type: ignore[arg-type]
