"""Interfaces of speaker, voice, text, label and frame heads, and the values that they take and return."""

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


@dataclass(frozen=True, repr=False)
class Voice:
    """A named target voice of conversion.

    Attributes:
        name: Name of the voice.
        tensors: Results of enrollment, named `<head>.<tensor>`, and `pitch`, the mean of ln(F0 in Hz).
        lent: Whether the voice was inherited from the run that the recipe starts from. Such a voice is neither saved
            nor shared with a run.
    """

    name: str
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    lent: bool = False

    def __repr__(self) -> str:
        return f"<Voice {self.name!r}: {', '.join(self.tensors)}>"


@dataclass(frozen=True)
class Source:
    """Recordings as a voice head reads them.

    Attributes:
        content: Frames of the backbone, (B, T, C).
        content_spec: Format of the content frames.
        pitch: Pitch at the frame rate of the acoustic frames, (B, T', 2). The channels are ln(F0 / 200 Hz) / 0.5, which
            is 0 in unvoiced frames, and voicing, 0 or 1. The head returns acoustic frames of the same lengths.
    """

    content: Frames
    content_spec: FrameSpec
    pitch: Frames


class Loss(NamedTuple):
    """A loss to minimize, and metrics to log. All of them are averages over the batch."""

    value: Tensor
    metrics: Mapping[str, Tensor]


class SpeakerHead(nn.Module, ABC):
    """Head that recognizes speakers and embeds their voices.

    Attributes:
        embedding_width: Number of channels of an embedding.
        num_speakers: Number of speakers that the logits distinguish.
    """

    embedding_width: int
    num_speakers: int

    @abstractmethod
    def embed(self, frames: Frames) -> Tensor:
        """Return embeddings of length 1: (B, T, C) -> (B, embedding_width).

        Embeddings of one speaker's recordings have a high cosine similarity.
        """

    @abstractmethod
    def logits(self, frames: Frames) -> Tensor:
        """Return the logits of the speakers: (B, T, C) -> (B, num_speakers)."""

    @abstractmethod
    def loss(self, frames: Frames, speakers: Tensor) -> Loss:
        """Return the training loss against speaker indices (B,)."""

    @abstractmethod
    def grow(self, num_speakers: int) -> None:
        """Add untrained speakers until there are `num_speakers`. The parameters of the old speakers do not change."""

    @abstractmethod
    def restart(self, num_speakers: int) -> None:
        """Replace all speakers by `num_speakers` untrained ones. The embeddings do not change."""


class VoiceHead(nn.Module, ABC):
    """Head that converts recordings to a voice, as acoustic frames in the vocoder's format."""

    @abstractmethod
    def convert(self, source: Source, voice: Mapping[str, Tensor]) -> Frames:
        """Convert recordings to a voice.

        Args:
            source: The recordings.
            voice: The tensors that this head's `enroll` returned. If the recipe has a speaker head, also `embedding`,
                (E,).

        Returns:
            Acoustic frames (B, T', acoustic channels).
        """

    def convert_mix(self, source: Source, voices: Sequence[tuple[Mapping[str, Tensor], float]]) -> Frames:
        """Convert recordings to a mix of voices.

        By default, the recordings are converted to each voice and the frames are averaged. A head with a space of
        voices mixes the voices there instead.

        Args:
            source: The recordings.
            voices: Each voice, as `convert` takes it, with its share. The shares add up to 1.

        Returns:
            Acoustic frames (B, T', acoustic channels).
        """
        converted = [self.convert(source, voice) for voice, _ in voices]
        values = torch.stack([share * frames.values for frames, (_, share) in zip(converted, voices, strict=True)])
        return converted[0].with_values(values.sum(dim=0))

    def enroll(self, content: Frames, acoustic: Frames) -> dict[str, Tensor]:
        """Return the tensors that this head stores for a voice besides its speaker embedding. None by default.

        Args:
            content: The backbone's frames of the voice's recordings, (N, T, C).
            acoustic: Acoustic frames of the same recordings, (N, T', acoustic channels).
        """
        return {}

    def loss(self, source: Source, embedding: Tensor | None, target: Frames) -> Loss | None:
        """Return the training loss, or None for a head without parameters.

        Args:
            source: Recordings of the training speakers.
            embedding: Embedding of each item's speaker, (B, E), from the recipe's speaker head; None without one.
            target: Acoustic frames of the same recordings, (B, T', acoustic channels).
        """
        return None


class TextHead(nn.Module, ABC):
    """Head that transcribes speech.

    Attributes:
        alphabet: The characters of the transcripts, each once.
    """

    alphabet: str

    @abstractmethod
    def log_probabilities(self, frames: Frames) -> Frames:
        """Return the log-probability of each character at each step: (B, T, C) -> (B, T', 1 + len(alphabet)).

        The values have at least the precision of float32. Index 0 is the blank, which stands for no character. Index i
        is the alphabet's character i - 1.
        """

    @abstractmethod
    def transcribe(self, frames: Frames) -> list[str]:
        """Return the transcript of each item; "" if nothing is said in it."""

    @abstractmethod
    def loss(self, frames: Frames, texts: Sequence[str]) -> Loss:
        """Return the training loss against the full transcript of each item.

        Raises:
            ContractError: A text has characters that the alphabet lacks, or needs more frames than its item has.
        """

    def frames_needed(self, text: str) -> int:
        """Return the least number of frames that a recording with this text needs in training; 1 by default."""
        return 1

    def spell(self, text: str) -> str:
        """Normalize a text to the characters of this head's alphabet, as `vczoo.modules.alphabet.spelled` does.

        Raises:
            ContractError: The text has characters that the alphabet lacks.
        """
        normalized, missing = spelled(text, self.alphabet)
        if missing:
            raise ContractError(
                f"the alphabet {self.alphabet[:60]!r} lacks {''.join(sorted(set(missing)))[:60]!r}; "
                "add these characters to it, or remove them from the text"
            )
        return normalized


class LabelHead(nn.Module, ABC):
    """Head that classifies utterances by labels.

    Attributes:
        labels: The labels, in the order of the logits.
    """

    labels: tuple[str, ...]

    @abstractmethod
    def logits(self, frames: Frames) -> Tensor:
        """Return the logits of the labels: (B, T, C) -> (B, len(labels))."""

    @abstractmethod
    def loss(self, frames: Frames, labels: Tensor) -> Loss:
        """Return the training loss against label indices (B,)."""

    @abstractmethod
    def relabel(self, labels: Sequence[str]) -> None:
        """Replace the labels. Labels that stay keep their trained parameters; new labels are untrained."""


class FrameHead(nn.Module, ABC):
    """Head that predicts the frames of the recipe's teacher, for distillation.

    Attributes:
        channels: Number of channels of the teacher's frames.
    """

    channels: int

    @abstractmethod
    def frames(self, content: Frames) -> Frames:
        """Predict the teacher's frames: (B, T, C) -> (B, T, channels)."""

    @abstractmethod
    def loss(self, content: Frames, teacher_frames: Frames) -> Loss:
        """Return the training loss against the teacher's frames of the same segments, (B, T, channels)."""


Task = Literal["speaker", "voice", "text", "label", "frames"]
Head = SpeakerHead | VoiceHead | TextHead | LabelHead | FrameHead


class Answer(NamedTuple):
    """Prediction of a text or label head for one utterance, with the reference.

    Attributes:
        head: Name of the head.
        kind: Whether the head predicts a text or a label.
        right: The reference: the correct text or label.
        given: The head's prediction.
    """

    head: str
    kind: Literal["text", "label"]
    right: str
    given: str
