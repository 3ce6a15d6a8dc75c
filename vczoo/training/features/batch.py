"""Training batches: the input of one training step, on the CPU or on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.models.model import Model
from vczoo.modules.interfaces.head import HeadBatch
from vczoo.training.features.activations import Activation, run_suffix, to_device

__all__ = ["Batch", "content_of", "together"]


@dataclass(frozen=True)
class Batch:
    """The input of one training step.

    Attributes:
        speakers: Speaker indices, (B,) int64; -1 for speakers outside the training set.
        depth: The index of the stage to run next.
        has_unknown_speakers: Whether any entry of `speakers` is -1.
        wave: Samples, (B, S), at the model's rate; None if training starts from activations or content.
        activations: The input of the next stage, one entry per item; None if `wave` or `content` is set.
        content: The output of a frozen backbone, (B, T, C); None if the backbone trains.
        reference: Content of other segments of the same speakers, (B, T'', C), or their mels if the speaker head reads
            mels; None if that would need another pass through a backbone that trains.
        pitch: Pitch, (B, T', 2); None if no head reads it.
        target: Acoustic targets, (B, T', acoustic channels); None if no head reads them.
        teacher_frames: The teacher's output at the times of the content, (B, T, C'); None without a teacher.
        texts: The transcript of each item, if a text head trains.
        labels: Label indices, (B,) int64, if a label head trains.
        annotations: Values of the manifest columns that the heads read: numbers, (B,) float32, or one text per item.
        share: Factor on the loss. It is 1 for a single process. For several, it is this process's share of the items
            times the number of processes, so that the mean over processes equals the mean over items.
    """

    speakers: Tensor
    depth: int = 0
    has_unknown_speakers: bool = False
    wave: Waveform | None = None
    activations: tuple[Activation, ...] | None = None
    content: Frames | None = None
    reference: Frames | None = None
    pitch: Frames | None = None
    target: Frames | None = None
    teacher_frames: Frames | None = None
    texts: tuple[str, ...] = ()
    labels: Tensor | None = None
    annotations: Mapping[str, Tensor | tuple[str, ...]] = field(default_factory=dict)
    share: float = 1.0

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""

        def move(tensor: Tensor) -> Tensor:
            return to_device(tensor, device)

        def frames(part: Frames | None) -> Frames | None:
            return part.moved(move) if part else None

        wave, activations = self.wave, self.activations
        return replace(
            self,
            speakers=move(self.speakers),
            wave=Waveform(move(wave.samples), wave.sample_rate_hz, move(wave.lengths)) if wave else None,
            activations=tuple(Activation(move(item.values), item.length) for item in activations)
            if activations
            else None,
            content=frames(self.content),
            reference=frames(self.reference),
            pitch=frames(self.pitch),
            target=frames(self.target),
            teacher_frames=frames(self.teacher_frames),
            labels=None if self.labels is None else move(self.labels),
            annotations={
                name: move(value) if isinstance(value, Tensor) else value for name, value in self.annotations.items()
            },
        )

    def for_heads(self, model: Model, content: Frames) -> HeadBatch:
        """The batch as the heads of a model read it, with the embeddings of the speakers.

        Args:
            model: The model.
            content: Content of the segments, (B, T, C).
        """
        return model.with_embedding(
            HeadBatch(
                content,
                model.backbone.spec,
                speakers=self.speakers,
                has_unknown_speakers=self.has_unknown_speakers,
                pitch=self.pitch,
                target=self.target,
                reference=self.reference,
                texts=self.texts,
                labels=self.labels,
                teacher_frames=self.teacher_frames,
                annotations=self.annotations,
            )
        )


def content_of(model: Model, batch: Batch) -> Frames:
    """Run the stages of the backbone that a batch still needs: content, (B, T, C)."""
    if batch.content is not None:
        return batch.content
    if batch.activations is not None:
        return run_suffix(model.backbone, batch.activations, batch.depth)
    assert batch.wave is not None
    return model.content(batch.wave)


def together(items: Iterable[Frames | None]) -> Frames | None:
    """Batch the items that are not None; None if there are none."""
    present = [item for item in items if item]
    return Frames.batch(present) if present else None
