"""The interfaces that parts implement: Backbone, Freezing, SpeakerHead and VoiceHead, Vocoder; and Watermark.

Waveform -> Backbone (stage by stage) -> Frames -+-> SpeakerHead -> embedding, logits
                                                 +-> VoiceHead (Frames, pitch, voice) -> acoustic Frames
                                                         acoustic Frames -> Vocoder -> Waveform [-> Watermark]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.registry.origin import Origin

__all__ = ["Backbone", "Freezing", "Stage"]


class Stage(NamedTuple):
    """One of a backbone's ordered parts: its module maps the activation before it to the one after."""

    name: str
    module: nn.Module


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
