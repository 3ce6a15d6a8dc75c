"""The interfaces that parts implement: Backbone, Freezing, SpeakerHead and VoiceHead, Vocoder; and Watermark.

Waveform -> Backbone (stage by stage) -> Frames -+-> SpeakerHead -> embedding, logits
                                                 +-> VoiceHead (Frames, pitch, voice) -> acoustic Frames
                                                         acoustic Frames -> Vocoder -> Waveform [-> Watermark]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.registry.origin import Origin

__all__ = [
    "Backbone",
    "Freezing",
    "Loss",
    "Source",
    "SpeakerHead",
    "Stage",
    "Vocoder",
    "Voice",
    "VoiceHead",
    "Watermark",
]


class Stage(NamedTuple):
    """One of a backbone's ordered parts: its module maps the activation before it to the one after."""

    name: str
    module: nn.Module


@dataclass(frozen=True)
class Voice:
    """A named target of conversion: what enrolment found, by `<head>.<tensor>`, and `pitch` (mean log-Hz).

    One that is `lent` came with the run that a recipe starts from: who saves or shares a run shares his own alone.
    """

    name: str
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    lent: bool = False


@dataclass(frozen=True)
class Source:
    """What a voice head reads of a recording.

    Attributes:
        content: (B, T, C) frames of the backbone.
        content_spec: their spec.
        pitch: (B, T', 2) at the acoustic rate: log-F0 in units of half an e-fold about 200 Hz (0 where there
            is none), and voicing, 0 or 1. Its lengths are those of the acoustic frames to make.
    """

    content: Frames
    content_spec: FrameSpec
    pitch: Frames


class Loss(NamedTuple):
    """A loss to be minimised, and figures to be logged beside it, all of them averages over the batch."""

    value: Tensor
    metrics: Mapping[str, Tensor]


class Backbone(nn.Module, ABC):
    """Turns a waveform into frames, stage by stage.

    `forward` is `collect(run(prepare(wave)))`. Every parameter and buffer that weights define stands in exactly
    one stage. A prefix of the stages can be run alone, which is what makes a cache of it possible. Who loads
    pretrained weights into it sets `origin`; it stays None for random ones.
    """

    spec: FrameSpec
    origin: Origin | None = None

    def __init__(self) -> None:
        super().__init__()
        self._frozen: tuple[nn.Module, ...] = ()

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """The stages from input to output; at least one."""

    @abstractmethod
    def prepare(self, wave: Waveform) -> Tensor:
        """Make the input of the first stage from waveforms of one `padded_length`."""

    @abstractmethod
    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        """Read the last stage's activation as frames.

        Args:
            activation: what `run` gives.
            lengths: (B,) frames of each item, from `num_frames`.

        Returns:
            As many frames as the longest has, or more: what stands past an item's length has no meaning.
        """

    def num_frames(self, num_samples: int) -> int:
        """Frames of a recording of `num_samples` samples, at least 1."""
        return max(1, -(-num_samples // self.spec.hop_length))

    def padded_length(self, num_samples: int) -> int:
        """Samples to which `prepare` pads a recording. Recordings of one padded length run as one batch.

        The default pads nothing, so only recordings of equal length share a batch.
        """
        return num_samples

    def run(self, activation: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Run stages `start` to `stop` (exclusive) on the activation before `start`."""
        for stage in self.stages()[start:stop]:
            activation = stage.module(activation)
        return activation

    def forward(self, wave: Waveform) -> Frames:
        """(B, S) -> (B, T, spec.channels).

        Recordings of different padded length run apart: no network with padding or statistics of its own
        would otherwise give a recording the same frames in a batch as alone.

        Raises:
            ContractError: the waveform has another sample rate than the spec.
        """
        if wave.sample_rate_hz != self.spec.sample_rate_hz:
            raise ContractError(
                f"this backbone reads {self.spec.sample_rate_hz} Hz, the waveform has {wave.sample_rate_hz} Hz; "
                "call wave.resample first"
            )
        groups: defaultdict[int, list[int]] = defaultdict(list)
        for index, length in enumerate(wave.lengths.tolist()):
            groups[self.padded_length(length)].append(index)
        parts, order = [], []
        for indices in groups.values():
            rows = torch.tensor(indices, device=wave.samples.device)
            lengths = wave.lengths[rows]
            group = Waveform(wave.samples[rows, : int(lengths.max())], wave.sample_rate_hz, lengths)
            counts = [self.num_frames(n) for n in lengths.tolist()]
            frames = self.collect(self.run(self.prepare(group)), torch.tensor(counts, device=rows.device))
            if frames.values.shape[1] < max(counts):
                raise ContractError(
                    f"{type(self).__name__} made {frames.values.shape[1]} frames of {int(lengths.max())} samples, "
                    f"where its num_frames promises {max(counts)}; mend the adapter"
                )
            parts.append(frames.cut(max(counts)))
            order += indices
        frames = Frames.batch(parts)
        back = torch.argsort(torch.tensor(order, device=wave.samples.device))
        return Frames(frames.values[back], frames.lengths[back])

    def hold(self, frozen: Sequence[nn.Module]) -> None:
        """Keep these modules in eval mode, now and through every later `train()` call."""
        self._frozen = tuple(frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training mode, except for what is frozen: its BatchNorm statistics would drift."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self


class Freezing(ABC):
    """Decides which stages of a backbone train, and how fast, epoch by epoch."""

    def prepare(self, backbone: Backbone) -> None:  # noqa: B027  (a hook that few strategies need)
        """Change the backbone before training: add adapters, say. Nothing unless a strategy says else."""

    def finish(self, backbone: Backbone) -> None:  # noqa: B027
        """Undo what `prepare` did, its effect merged into the weights: a run holds ordinary stages."""

    @abstractmethod
    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """One learning-rate multiplier a stage, from input to output; 0 freezes the stage."""

    def trains(self, module: nn.Module) -> bool:
        """Whether this module of a stage that is not frozen trains; all do unless a strategy says else."""
        return True


class SpeakerHead(nn.Module, ABC):
    """Reads frames and tells speakers apart."""

    embedding_width: int
    num_speakers: int

    @abstractmethod
    def embed(self, frames: Frames) -> Tensor:
        """(B, T, C) -> (B, embedding_width), of length 1: recordings of one speaker are close in cosine."""

    @abstractmethod
    def logits(self, frames: Frames) -> Tensor:
        """(B, T, C) -> (B, num_speakers)."""

    @abstractmethod
    def loss(self, frames: Frames, speakers: Tensor) -> Loss:
        """The training loss against speaker indices (B,)."""

    @abstractmethod
    def grow(self, num_speakers: int) -> None:
        """Make room for more speakers; what the head knows of the old ones stays as it is."""

    @abstractmethod
    def restart(self, num_speakers: int) -> None:
        """Forget the speakers for so many others, of whom nothing is known; the embedding stays as it is."""


class VoiceHead(nn.Module, ABC):
    """Turns a source and a voice into acoustic frames under the vocoder's spec."""

    @abstractmethod
    def convert(self, source: Source, voice: Mapping[str, Tensor]) -> Frames:
        """Say what the source says in a voice: (B, T', acoustic channels).

        Args:
            source: the recording.
            voice: what this head's `enroll` gave, and `embedding`, (E,), where the recipe has a speaker head.
        """

    def convert_mix(self, source: Source, voices: Sequence[tuple[Mapping[str, Tensor], float]]) -> Frames:
        """Say it in a voice between several, each with its share; the shares add up to 1.

        The default converts into each and averages the frames; a head that has a space of voices mixes there.
        """
        made = [self.convert(source, voice) for voice, _ in voices]
        values = torch.stack([share * frames.values for frames, (_, share) in zip(made, voices, strict=True)])
        return made[0].with_values(values.sum(dim=0))

    def enroll(self, content: Frames, acoustic: Frames) -> dict[str, Tensor]:
        """What this head keeps of a voice beyond its speaker embedding; nothing unless a head says else.

        Args:
            content: (N, T, C), the backbone's frames of the voice's recordings.
            acoustic: (N, T', acoustic channels), their frames under the vocoder's spec.
        """
        return {}

    def loss(self, source: Source, embedding: Tensor | None, target: Frames) -> Loss | None:
        """The training loss, or None for a head without parameters.

        Args:
            source: recordings of the training speakers.
            embedding: (B, E), each item's speaker as the recipe's speaker head hears it; None without one.
            target: (B, T', acoustic channels), the same recordings under the vocoder's spec.
        """
        return None


class Vocoder(nn.Module, ABC):
    """Turns acoustic frames into a waveform. Its `origin` is as a backbone's."""

    accepts: MelSpec | FrameSpec
    origin: Origin | None = None

    @abstractmethod
    def forward(self, frames: Frames) -> Waveform:
        """(B, T, C) under `accepts` -> (B, S)."""

    def rebuild(self, frames: Frames, real: Waveform) -> Waveform:
        """As `forward`, in training: with a gradient, and with what no loss need teach it taken from the recording.

        Args:
            frames: (B, T, C), of whole excerpts.
            real: (B, S), the recording that they were made of. One whose phases are not learnt takes its phases.
        """
        made: Waveform = self(frames)
        return made

    def follow(self, frames: Frames, before: Waveform) -> Waveform:
        """As `forward`, going on from what was made earlier, where a vocoder can: else it is not read.

        Args:
            frames: (1, T, C).
            before: (1, P), the waveform that is there already, from the first frame's beginning on.
        """
        made: Waveform = self(frames)
        return made


class Watermark(nn.Module, ABC):
    """Hides in a recording that it is synthetic, where nobody hears it, and finds that again."""

    @abstractmethod
    def embed(self, wave: Waveform) -> Waveform:
        """(1, S) at any rate -> (1, S) at the same. A long recording comes piece by piece, of any lengths from 1 on."""

    @abstractmethod
    def detect(self, wave: Waveform) -> float:
        """The probability, 0 to 1, that some of a recording, (1, S) of up to 30 s, carries this watermark."""
