"""Interfaces of heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.alphabet import spelled

__all__ = [
    "Answer",
    "FrameHead",
    "Head",
    "LabelHead",
    "Loss",
    "Source",
    "SpeakerHead",
    "Task",
    "TextHead",
    "Voice",
    "VoiceHead",
]


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


class TextHead(nn.Module, ABC):
    """Reads frames and writes what is said in them.

    Attributes:
        alphabet: the characters that it writes, each once.
    """

    alphabet: str

    @abstractmethod
    def log_probabilities(self, frames: Frames) -> Frames:
        """Of each character at each time, (B, T, C) -> (B, T', 1 + len(alphabet)), in float32 at least.

        Index 0 is the blank, which writes nothing; index i is the alphabet's character i - 1.
        """

    @abstractmethod
    def transcribe(self, frames: Frames) -> list[str]:
        """What is said in each item; "" where nothing is."""

    @abstractmethod
    def loss(self, frames: Frames, texts: Sequence[str]) -> Loss:
        """The training loss against what is said in each item, the whole of it.

        Raises:
            ContractError: a text cannot be spelled, or takes more frames than its item has.
        """

    def frames_needed(self, text: str) -> int:
        """The fewest frames that a text can be learnt from; 1 unless a head says else."""
        return 1

    def spell(self, text: str) -> str:
        """A text as this head could write it: see `vczoo.modules.alphabet.spelled`.

        Raises:
            ContractError: the alphabet lacks some of its characters.
        """
        written, lacking = spelled(text, self.alphabet)
        if lacking:
            raise ContractError(f"the alphabet {self.alphabet[:60]!r} lacks {''.join(sorted(set(lacking)))[:60]!r}")
        return written


class LabelHead(nn.Module, ABC):
    """Reads frames and says which of some labels an utterance has.

    Attributes:
        labels: in the order of the logits.
    """

    labels: tuple[str, ...]

    @abstractmethod
    def logits(self, frames: Frames) -> Tensor:
        """(B, T, C) -> (B, len(labels))."""

    @abstractmethod
    def loss(self, frames: Frames, labels: Tensor) -> Loss:
        """The training loss against label indices (B,)."""

    @abstractmethod
    def relabel(self, labels: Sequence[str]) -> None:
        """Know these labels from now on: what it knows of those that stay is kept, of others nothing is known."""


class FrameHead(nn.Module, ABC):
    """Reads frames and says what the recipe's teacher hears at the same times.

    Attributes:
        channels: of the teacher's frames.
    """

    channels: int

    @abstractmethod
    def frames(self, content: Frames) -> Frames:
        """(B, T, C) -> (B, T, channels)."""

    @abstractmethod
    def loss(self, content: Frames, teacher_frames: Frames) -> Loss:
        """The training loss against the teacher's frames of the same excerpts, (B, T, channels)."""


Task = Literal["speaker", "voice", "text", "label", "frames"]
Head = SpeakerHead | VoiceHead | TextHead | LabelHead | FrameHead


class Answer(NamedTuple):
    """What a head said of one utterance.

    Attributes:
        head: its name.
        kind: whether it is a text that was asked for, or a label.
        right: what is right.
        given: what it said.
    """

    head: str
    kind: Literal["text", "label"]
    right: str
    given: str
