"""Interface of voice heads, and the recordings and voices that they read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.modules.interfaces.head import Head, HeadBatch, Loss

__all__ = ["Source", "Voice", "VoiceHead"]


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


class VoiceHead(Head):
    """Head that converts recordings to a voice, as acoustic frames in the vocoder's format."""

    task = "voice"
    reads = frozenset({"content", "pitch", "target"})

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

    def training_loss(self, batch: HeadBatch) -> Loss | None:
        """Return `loss`."""
        assert batch.target is not None
        return self.loss(self._source(batch), batch.embedding, batch.target)

    def conformance_output(self, batch: HeadBatch) -> Frames:
        """Convert the items to the voice that is enrolled from all of them: (B, T', acoustic channels)."""
        assert batch.target is not None
        voice = self.enroll(batch.content, batch.target)
        return self.convert(
            self._source(batch), voice | ({} if batch.embedding is None else {"embedding": batch.embedding[0]})
        )

    def enroll_voice(self, contents: Sequence[Frames], acoustics: Sequence[Frames]) -> dict[str, Tensor]:
        """Return what `enroll` returns for all recordings together."""
        return self.enroll(Frames.batch(contents), Frames.batch(acoustics))

    def _source(self, batch: HeadBatch) -> Source:
        assert batch.pitch is not None
        return Source(batch.content, batch.content_spec, batch.pitch)
