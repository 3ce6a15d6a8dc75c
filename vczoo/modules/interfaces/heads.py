"""Interfaces of speaker, text, label and frame heads; `voice_head` has that of voice heads, `head` what they share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.errors import ContractError
from vczoo.modules.alphabet import spelled
from vczoo.modules.error_rates import label_recall, text_error_rates
from vczoo.modules.interfaces.head import Head, HeadBatch, Loss, Prediction
from vczoo.modules.interfaces.voice_head import Source, Voice, VoiceHead

__all__ = [
    "KINDS",
    "FrameHead",
    "Head",
    "HeadBatch",
    "LabelHead",
    "Loss",
    "Prediction",
    "Source",
    "SpeakerHead",
    "TextHead",
    "Voice",
    "VoiceHead",
]


class SpeakerHead(Head):
    """Head that recognizes speakers and embeds their voices.

    Attributes:
        embedding_width: Number of channels of an embedding.
        num_speakers: Number of speakers that the logits distinguish.
    """

    task = "speaker"
    reads = frozenset({"content", "speakers"})
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

    def training_loss(self, batch: HeadBatch) -> Loss | None:
        """Return `loss`; None if the batch has speakers outside the training set, which have no index."""
        assert batch.speakers is not None
        unknown = batch.has_unknown_speakers
        if bool((batch.speakers < 0).any()) if unknown is None else unknown:
            return None
        return self.loss(batch.content, batch.speakers)

    def conformance_output(self, batch: HeadBatch) -> Tensor:
        """Return the embeddings and the logits: (B, embedding_width + num_speakers)."""
        return torch.cat([self.embed(batch.content), self.logits(batch.content)], dim=1)

    def enroll_voice(self, contents: Sequence[Frames], acoustics: Sequence[Frames]) -> dict[str, Tensor]:
        """Return `embedding`: the mean embedding of the recordings, (E,), normalized to length 1."""
        return {"embedding": F.normalize(torch.cat([self.embed(frames) for frames in contents]).mean(dim=0), dim=0)}

    def conformance_batch(self, batch: HeadBatch) -> HeadBatch:
        """Return the batch with speakers that the logits distinguish."""
        return replace(batch, speakers=_indices(batch, self.num_speakers), has_unknown_speakers=False)


class TextHead(Head):
    """Head that transcribes speech.

    Attributes:
        alphabet: The characters of the transcripts, each once.
    """

    task = "text"
    reads = frozenset({"content", "texts"})
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

    def training_loss(self, batch: HeadBatch) -> Loss | None:
        """Return `loss`."""
        return self.loss(batch.content, batch.texts)

    def conformance_output(self, batch: HeadBatch) -> Frames:
        """Return the log-probabilities."""
        return self.log_probabilities(batch.content)

    def predictions(self, batch: HeadBatch) -> list[Prediction]:
        """Transcribe the items. The reference is the text as the alphabet spells it."""
        transcripts = self.transcribe(batch.content) if batch.texts else []
        return [Prediction(self.spell(text), given) for text, given in zip(batch.texts, transcripts, strict=True)]

    def prediction_figures(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return `wer` and `cer`: the edits over all utterances per word and per character of the references."""
        return text_error_rates(predictions)

    def conformance_batch(self, batch: HeadBatch) -> HeadBatch:
        """Return the batch with texts of the alphabet, as long as fits and at most 8 characters."""
        letters, texts = self.alphabet.strip(), []
        for number, length in enumerate(batch.content.lengths.tolist()):
            candidates = ((letters[number % len(letters) :] + letters)[:count] for count in range(8, 0, -1))
            texts.append(next((text for text in candidates if self.frames_needed(text) <= length), letters[0]))
        return replace(batch, texts=tuple(texts))


class LabelHead(Head):
    """Head that classifies utterances by labels.

    Attributes:
        labels: The labels, in the order of the logits.
    """

    task = "label"
    reads = frozenset({"content", "labels"})
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

    def training_loss(self, batch: HeadBatch) -> Loss | None:
        """Return `loss`."""
        assert batch.labels is not None
        return self.loss(batch.content, batch.labels)

    def conformance_output(self, batch: HeadBatch) -> Tensor:
        """Return the logits."""
        return self.logits(batch.content)

    def predictions(self, batch: HeadBatch) -> list[Prediction]:
        """Predict the most likely label of each item."""
        if batch.labels is None:
            return []
        pairs = zip(batch.labels.tolist(), self.logits(batch.content).argmax(dim=1).tolist(), strict=True)
        return [Prediction(self.labels[right], self.labels[given]) for right, given in pairs]

    def prediction_figures(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return `recall`, averaged over the labels that occur (unweighted average recall)."""
        return {"recall": label_recall(predictions)}

    def conformance_batch(self, batch: HeadBatch) -> HeadBatch:
        """Return the batch with labels that this head knows."""
        return replace(batch, labels=_indices(batch, len(self.labels)))


class FrameHead(Head):
    """Head that predicts the frames of the recipe's teacher, for distillation.

    Attributes:
        channels: Number of channels of the teacher's frames.
    """

    task = "frames"
    reads = frozenset({"content", "teacher_frames"})
    channels: int

    @abstractmethod
    def frames(self, content: Frames) -> Frames:
        """Predict the teacher's frames: (B, T, C) -> (B, T, channels)."""

    @abstractmethod
    def loss(self, content: Frames, teacher_frames: Frames) -> Loss:
        """Return the training loss against the teacher's frames of the same segments, (B, T, channels)."""

    def training_loss(self, batch: HeadBatch) -> Loss | None:
        """Return `loss`."""
        assert batch.teacher_frames is not None
        return self.loss(batch.content, batch.teacher_frames)

    def conformance_output(self, batch: HeadBatch) -> Frames:
        """Return the predicted frames."""
        return self.frames(batch.content)

    def conformance_batch(self, batch: HeadBatch) -> HeadBatch:
        """Return the batch with random teacher frames of this head's number of channels."""
        content = batch.content
        values = torch.randn(*content.values.shape[:2], self.channels, generator=torch.Generator().manual_seed(1))
        values = values.to(content.values.device, content.values.dtype).where(content.mask(), torch.nan)
        return replace(batch, teacher_frames=content.with_values(values))


KINDS: Mapping[str, type[Head]] = {kind.task: kind for kind in (SpeakerHead, VoiceHead, TextHead, LabelHead, FrameHead)}
"""The class of each of the core's tasks."""


def _indices(batch: HeadBatch, count: int) -> Tensor:
    return torch.arange(len(batch), device=batch.content.values.device) % count
