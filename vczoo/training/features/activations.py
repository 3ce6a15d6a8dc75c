"""Activations between the stages of a backbone, whole or cut in time.

Frozen stages at the start of a backbone give the same activation every time, so they run once, and training continues
from that activation. Segments are cut from the activation of the whole recording.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.modules.interfaces.backbone import Backbone

__all__ = [
    "Activation",
    "TimeAxis",
    "cut",
    "find_time_axis",
    "frozen_depth",
    "in_eval_mode",
    "masked",
    "run_prefix",
    "run_suffix",
    "to_device",
]

PROBE_SECONDS = (0.3, 0.6)


@dataclass(frozen=True)
class Activation:
    """The input of a stage for one recording, or for a segment of it.

    Attributes:
        values: Values, (rows, …), with one row unless the backbone cuts a recording into windows. After the last stage
            they are frames, (1, T, C).
        length: The number of frames that the backbone makes of it.
    """

    values: Tensor
    length: int


@dataclass(frozen=True)
class TimeAxis:
    """The time axis of an activation.

    Attributes:
        axis: The axis of `Activation.values` along which time runs.
        per_frame: The number of steps along the axis per frame of the backbone.
        unit: The number of frames that the width of a segment must be a multiple of.
    """

    axis: int
    per_frame: int
    unit: int = 1


def frozen_depth(multipliers: Sequence[float]) -> int:
    """The number of consecutive frozen stages, from the first on."""
    return next((index for index, value in enumerate(multipliers) if value > 0), len(multipliers))


@contextmanager
def in_eval_mode(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Put modules in eval mode for a while. Other modules, which another thread may be training, do not change."""
    in_training = [module for module in modules if module.training]
    for module in in_training:
        module.eval()
    try:
        yield
    finally:
        for module in in_training:
            module.train()


@torch.inference_mode()
def run_prefix(backbone: Backbone, waves: Sequence[Waveform], depth: int) -> list[Activation]:
    """Run the first `depth` stages on recordings (1, S), one by one.

    In a batch, the last bits of an activation would depend on the other recordings in it, and so a fine-tune would
    depend on what the cache already held.

    The stages should be in eval mode. With depth 0, the result is the output of `prepare`.
    """
    return [_run_prefix(backbone, wave, depth) for wave in waves]


def _run_prefix(backbone: Backbone, wave: Waveform, depth: int) -> Activation:
    count = backbone.num_frames(wave.samples.shape[1])
    values = backbone.run(backbone.prepare(wave), 0, depth)
    if depth == len(backbone.stages()):
        values = backbone.collect(values, torch.tensor([count], device=values.device))[0].values
    return Activation(values, count)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a CPU tensor to another device. A GPU gets it from pinned memory, so that the CPU does not wait."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def run_suffix(backbone: Backbone, items: Sequence[Activation], depth: int) -> Frames:
    """Run the stages from `depth` on; activations of equal shape run as a batch. The result is (B, T, C)."""
    if depth == len(backbone.stages()):
        return Frames.batch([Frames.of(item.values) for item in items])
    groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        groups[tuple(item.values.shape)].append(index)
    parts, order = [], []
    for indices in groups.values():
        values = torch.cat([items[index].values for index in indices])
        lengths = [items[index].length for index in indices]
        frames = backbone.collect(backbone.run(values, depth), to_device(torch.tensor(lengths), values.device))
        parts.append(frames.cut(max(lengths)))
        order += indices
    frames = Frames.batch(parts)
    if order == list(range(len(items))):
        return frames
    back = to_device(torch.argsort(torch.tensor(order)), frames.values.device)
    return Frames(frames.values[back], frames.lengths[back]).cut(frames.longest)


def cut(whole: Activation, time: TimeAxis, start: int, num_frames: int) -> tuple[Activation, int]:
    """Cut a segment of about `num_frames` frames from `start` on. Return it with its actual start.

    Its width is rounded up to a multiple of the axis's unit, and it starts earlier if the recording ends too soon. An
    activation that is too short, or that has several windows, is returned whole.
    """
    width = -(-num_frames // time.unit) * time.unit
    available = whole.values.shape[time.axis] // time.per_frame
    if available <= width or whole.values.shape[0] > 1:
        return whole, 0
    start = min(start, available - width)
    values = whole.values.narrow(time.axis, start * time.per_frame, width * time.per_frame)
    return Activation(values, max(1, min(num_frames, whole.length - start))), start


@torch.inference_mode()
def find_time_axis(backbone: Backbone, depth: int) -> TimeAxis | None:
    """Find the time axis of a stage's input, by comparing activations of noise of two durations.

    The result is None if segments cannot be cut: there is no single axis that grows with time, it does not grow in step
    with the frames, or it also holds something other than time, as in a transformer's tokens.
    """
    if depth == len(backbone.stages()):
        return TimeAxis(1, 1)
    training = backbone.training
    try:
        return _probe(backbone.eval(), depth)
    finally:
        backbone.train(training)


def _probe(backbone: Backbone, depth: int) -> TimeAxis | None:
    parameter = next(backbone.parameters(), None)
    device = parameter.device if parameter is not None else torch.device("cpu")
    rate = backbone.spec.sample_rate_hz
    unit = max(1, round(backbone.padded_length(1) / backbone.spec.hop_length))
    before, after, counts = [], [], []
    for seconds in PROBE_SECONDS:
        samples = torch.rand(backbone.padded_length(round(seconds * rate)), generator=torch.Generator().manual_seed(0))
        values = backbone.run(backbone.prepare(Waveform.of(samples.to(device) - 0.5, rate)), 0, depth)
        before.append(values)
        after.append(backbone.run(values, depth).shape)
        counts.append(backbone.num_frames(len(samples)))
    short, long = before
    axis = _growing(short.shape, long.shape)
    last = _growing(after[0], after[1])
    if axis is None or last is None or axis == 0:
        return None
    frames = (after[0][last], after[1][last])
    if any(size > count + 2 * unit for size, count in zip(frames, counts, strict=True)):
        return None  # tokens: the bands of one time are not adjacent
    per_frame, rest = divmod(short.shape[axis], frames[0])
    if rest or not per_frame or long.shape[axis] != per_frame * frames[1]:
        return None
    if short.ndim < 4 and depth and per_frame > 1:
        return None
    segment = long.narrow(axis, 0, short.shape[axis])
    try:
        if backbone.run(segment, depth).shape != after[0]:
            return None
    except RuntimeError:  # the rest of the network can only read whole recordings
        return None
    return TimeAxis(axis, per_frame, unit)


def _growing(short: Sequence[int], long: Sequence[int]) -> int | None:
    """The axis in which two shapes differ; None unless there is exactly one."""
    if len(short) != len(long):
        return None
    differing = [axis for axis, sizes in enumerate(zip(short, long, strict=True)) if sizes[0] != sizes[1]]
    return differing[0] if len(differing) == 1 else None


def masked(item: Activation, time: TimeAxis, share: float, draws: Sequence[float]) -> Activation:
    """SpecAugment (arXiv:1904.08779): replace a block of time, and a block of bands or channels, with the mean.

    Args:
        item: The activation of a segment; it is not changed.
        time: The time axis of the activation.
        share: The largest share of its axis that a block takes.
        draws: Four numbers in [0, 1): size and position of the block of time, then of the other block.
    """
    values = item.values.clone(
        memory_format=torch.contiguous_format
    )  # so that the mean is always summed in the same order
    other = 2 if values.ndim == 4 else 3 - time.axis
    mean = values.mean()
    for axis, (size, position) in ((time.axis, draws[:2]), (other, draws[2:4])):
        count = int(size * (share * values.shape[axis] + 1))
        values.narrow(axis, int(position * (values.shape[axis] - count + 1)), count).fill_(mean)
    return replace(item, values=values)
