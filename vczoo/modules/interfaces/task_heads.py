"""The interfaces of heads that neither know speakers nor convert: TextHead, LabelHead and FrameHead.

Frames -+-> TextHead -> what is said, in the characters of an alphabet
        +-> LabelHead -> one of some labels: emotion, language, word
        +-> FrameHead -> the frames of a teacher, another backbone that a small one learns from
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.errors import ContractError
from vczoo.modules.alphabet import spelled
from vczoo.modules.interfaces.backbone import Loss, SpeakerHead, VoiceHead

__all__ = ["FrameHead", "Head", "LabelHead", "Task", "TextHead"]


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
    def loss(self, content: Frames, taught: Frames) -> Loss:
        """The training loss against the teacher's frames of the same excerpts, (B, T, channels)."""


Task = Literal["speaker", "voice", "text", "label", "frames"]
Head = SpeakerHead | VoiceHead | TextHead | LabelHead | FrameHead
