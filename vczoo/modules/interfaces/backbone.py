"""Interface of backbones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict

import torch
from torch import Tensor

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.io.precision import check_single_precision
from vczoo.modules.interfaces.freezing import Freezing, HoldsFrozen, Stage
from vczoo.registry.origin import Origin

__all__ = ["Backbone", "Freezing", "Stage"]


class Backbone(HoldsFrozen, ABC):
    """Network that turns waveforms into frames, stage by stage.

    For recordings of one padded length, `forward` is `collect(run(prepare(wave)))`. Every parameter and every
    persistent buffer belongs to exactly one stage. The first stages can run without the others, so their activations
    can be cached.

    Attributes:
        spec: Format of the frames.
        origin: Source of the pretrained weights, set by the code that loads them; None for random weights.
        layer_stages: Number of stages, counted from the last, whose outputs have one shape, so that `layer: mix` can
            sum them; 1 if there are no two such stages.
        channel_axis: Axis of the channels in these outputs.
    """

    spec: FrameSpec
    origin: Origin | None = None
    layer_stages: int = 1
    channel_axis: int = -1

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """Return the stages from input to output; at least one."""

    @abstractmethod
    def prepare(self, wave: Waveform) -> Tensor:
        """Compute the input of the first stage from waveforms (B, S) of one `padded_length`."""

    @abstractmethod
    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        """Convert the last stage's activation to frames.

        Args:
            activation: Output of the last stage.
            lengths: Number of frames of each item, from `num_frames`: (B,).

        Returns:
            Frames (B, T, spec.channels), where T is at least the greatest length. Values past an item's length have no
            meaning.
        """

    def num_frames(self, num_samples: int) -> int:
        """Return the number of frames of a recording of `num_samples` samples, at least 1."""
        return max(1, -(-num_samples // self.spec.hop_length))

    def padded_length(self, num_samples: int) -> int:
        """Return the length in samples to which `prepare` pads a recording.

        Recordings of one padded length run as one batch. By default nothing is padded, so that only recordings of equal
        length share a batch.
        """
        return num_samples

    def run(self, activation: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Run stages `start` to `stop` (exclusive) on the input of stage `start`."""
        for stage in self.stages()[start:stop]:
            activation = stage.module(activation)
        return activation

    def forward(self, wave: Waveform) -> Frames:
        """Compute frames from waveforms: (B, S) -> (B, T, spec.channels).

        Recordings of different padded lengths run in separate batches. Otherwise, a network with padding or statistics
        of its own would compute other frames for a recording in a batch than by itself. They are the same up to
        rounding, at most 1e-4 of the largest value: torch sums a batch in another order.

        `torch.export.export(backbone, (wave,), strict=False)` gives a program for waveforms of this shape, rate and
        mark without padding. It raises RuntimeError for lengths that are shorter, because it cannot form batches.

        Raises:
            ContractError: The sample rate of the waveform is not that of the spec, the weights were converted to
                float16 or bfloat16 (use `torch.autocast` instead), or the backbone returns fewer frames than its
                `num_frames` promises.
        """
        if wave.sample_rate_hz != self.spec.sample_rate_hz:
            raise ContractError(
                f"this backbone reads audio at {self.spec.sample_rate_hz} Hz, but the waveform is at "
                f"{wave.sample_rate_hz} Hz; call wave.resample first"
            )
        check_single_precision(type(self).__name__, self)
        if torch.compiler.is_exporting():
            return self._without_padding(wave)
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
                    f"{type(self).__name__} returned {frames.values.shape[1]} frames for {int(lengths.max())} samples, "
                    f"but its num_frames promises {max(counts)}; fix this backbone's collect or num_frames"
                )
            parts.append(frames.cut(max(counts)))
            order += indices
        frames = Frames.batch(parts)
        restore = torch.argsort(torch.tensor(order, device=wave.samples.device))
        return Frames(frames.values[restore], frames.lengths[restore])

    def _without_padding(self, wave: Waveform) -> Frames:
        """Compute frames as one batch, in a graph whose form depends on the shape of the samples only."""
        num_samples = wave.samples.shape[1]
        torch._assert_async(
            (wave.lengths == num_samples).all(),
            "an exported backbone takes recordings without padding; run those of other lengths by themselves",
        )
        count = self.num_frames(num_samples)
        lengths = torch.tensor([num_samples] * len(wave), device=wave.samples.device)  # constants in the graph
        unpadded = Waveform(wave.samples, wave.sample_rate_hz, lengths)
        counts = torch.tensor([count] * len(wave), device=wave.samples.device)
        return self.collect(self.run(self.prepare(unpadded)), counts).cut(count)

    def content_of_mel(self, mel: Frames, spec: MelSpec) -> Frames:
        """Return about the frames of the recordings that log-mels are of: (B, T, num_mels) -> (B, T', spec.channels).

        Gradients pass from the frames to the mels, so that a loss can ask what is said in a decoded mel.

        Args:
            mel: Log-mels.
            spec: Their format.

        Raises:
            ContractError: This backbone cannot do that, or not with this format.
        """
        raise ContractError(f"{type(self).__name__} cannot compute frames from mels; use content-whisper for that")
