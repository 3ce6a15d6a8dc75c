"""`Batch`: what one step of training reads, on the CPU or on a GPU."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.training.activations import Activation, to_device

__all__ = ["Batch", "together"]


@dataclass(frozen=True)
class Batch:
    """What a step trains on.

    Attributes:
        speakers: (B,) int64; -1 for one that training does not hear.
        depth: the stage that comes next.
        strangers: whether there is such a one.
        wave: (B, S) at the model's rate; None where something else than the samples is kept.
        activations: what stands before that stage, an item each; None where `wave` or `content` is given.
        content: (B, T, C), what a frozen backbone hears; None where the backbone trains.
        reference: (B, T'', C), content of other excerpts by the same speakers, or mels of them where speakers are known
            by those; None where that would need another pass through a backbone that trains.
        pitch: (B, T', 2), None where no voice head trains.
        target: (B, T', acoustic channels), None where no voice head trains.
        taught: (B, T, C'), what the teacher hears at the times of the content; None without one.
        texts: what is said in each item, where a text head trains.
        labels: (B,) int64, where a label head trains.
        share: what the loss is multiplied by: 1, or with several processes this one's part of the items, times the
            number of processes, so that the mean over the processes is that over the items.
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
    share: float = 1.0

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""

        def move(tensor: Tensor) -> Tensor:
            return to_device(tensor, device)

        def frames(part: Frames | None) -> Frames | None:
            return part.moved(move) if part else None

        wave, heard = self.wave, self.activations
        return replace(
            self,
            speakers=move(self.speakers),
            wave=Waveform(move(wave.samples), wave.sample_rate_hz, move(wave.lengths)) if wave else None,
            activations=tuple(Activation(move(item.values), item.length) for item in heard) if heard else None,
            content=frames(self.content),
            reference=frames(self.reference),
            pitch=frames(self.pitch),
            target=frames(self.target),
            teacher_frames=frames(self.teacher_frames),
            labels=None if self.labels is None else move(self.labels),
        )


def together(items: Iterable[Frames | None]) -> Frames | None:
    """One batch of what is there."""
    there = [item for item in items if item]
    return Frames.batch(there) if there else None
