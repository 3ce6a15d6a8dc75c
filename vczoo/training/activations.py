"""Recordings in, what stands before some stage of a backbone out; and from there, cut in time or whole, the frames.

A prefix of the stages that does not change gives the same activation every time: it runs once, and training goes on
from what it gave. An excerpt is cut from the activation of the whole recording.
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
    """What stands before a stage for one recording, or an excerpt of it.

    Attributes:
        values: (rows, …), rows 1 unless the backbone cuts a recording into windows; after the last stage its frames,
            (1, T, C).
        length: frames that the backbone makes of it.
    """

    values: Tensor
    length: int


@dataclass(frozen=True)
class TimeAxis:
    """Where time runs in an activation.

    Attributes:
        axis: of `Activation.values`.
        per_frame: steps along it to one frame of the backbone.
        unit: frames that the width of an excerpt must be a multiple of.
    """

    axis: int
    per_frame: int
    unit: int = 1


def frozen_depth(multipliers: Sequence[float]) -> int:
    """How many stages, from the first on, are frozen."""
    return next((index for index, value in enumerate(multipliers) if value > 0), len(multipliers))


@contextmanager
def in_eval_mode(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Put modules in eval mode for a while; others, which may train meanwhile in another thread, stay as they are."""
    trained = [module for module in modules if module.training]
    for module in trained:
        module.eval()
    try:
        yield
    finally:
        for module in trained:
            module.train()


@torch.inference_mode()
def run_prefix(backbone: Backbone, waves: Sequence[Waveform], depth: int) -> list[Activation]:
    """Run the first `depth` stages on recordings (1, S), those of one padded length as a batch.

    Those stages should be in eval mode. With depth 0 that is what `prepare` gives.
    """
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for index, wave in enumerate(waves):
        groups[backbone.padded_length(wave.samples.shape[1])].append(index)
    last = depth == len(backbone.stages())
    found: dict[int, Activation] = {}
    for indices in groups.values():
        wave = Waveform.batch([waves[index] for index in indices])
        counts = [backbone.num_frames(int(length)) for length in wave.lengths.tolist()]
        values = backbone.run(backbone.prepare(wave), 0, depth)
        if last:
            frames = backbone.collect(values, torch.tensor(counts, device=values.device))
            found |= {index: Activation(frames[row].values, counts[row]) for row, index in enumerate(indices)}
        else:
            rows = values.chunk(len(indices))
            found |= {index: Activation(rows[row], counts[row]) for row, index in enumerate(indices)}
    return [found[index] for index in range(len(waves))]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on another device; from pinned memory to a GPU, so that nobody waits for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def run_suffix(backbone: Backbone, items: Sequence[Activation], depth: int) -> Frames:
    """Run the stages from `depth` on, activations of one shape as a batch: (B, T, C)."""
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
    """An excerpt of about `num_frames` frames from `start` on, and where it really starts.

    Its width is rounded up to the axis' unit, and it starts earlier where the recording ends too soon for that. What
    is too short for it, or lies in several windows, is given whole.
    """
    width = -(-num_frames // time.unit) * time.unit
    there = whole.values.shape[time.axis] // time.per_frame
    if there <= width or whole.values.shape[0] > 1:
        return whole, 0
    start = min(start, there - width)
    values = whole.values.narrow(time.axis, start * time.per_frame, width * time.per_frame)
    return Activation(values, max(1, min(num_frames, whole.length - start))), start


@torch.inference_mode()
def find_time_axis(backbone: Backbone, depth: int) -> TimeAxis | None:
    """Find out along which axis time runs before a stage, from what noises of two durations give there.

    None where an excerpt cannot be cut: no axis alone grows with time, it does not grow with the frames, or time
    shares it with something else, as in a transformer's tokens.
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
        return None  # tokens: bands of one time stand apart
    per_frame, rest = divmod(short.shape[axis], frames[0])
    if rest or not per_frame or long.shape[axis] != per_frame * frames[1]:
        return None
    if short.ndim < 4 and depth and per_frame > 1:
        return None
    excerpt = long.narrow(axis, 0, short.shape[axis])
    try:
        if backbone.run(excerpt, depth).shape != after[0]:
            return None
    except RuntimeError:  # the rest of the network reads whole recordings only
        return None
    return TimeAxis(axis, per_frame, unit)


def _growing(short: Sequence[int], long: Sequence[int]) -> int | None:
    """The one axis in which two shapes differ."""
    if len(short) != len(long):
        return None
    differing = [axis for axis, sizes in enumerate(zip(short, long, strict=True)) if sizes[0] != sizes[1]]
    return differing[0] if len(differing) == 1 else None


def masked(item: Activation, time: TimeAxis, share: float, draws: Sequence[float]) -> Activation:
    """Hide up to `share` of the time, and of the bands or channels, behind the mean: one block of each.

    Args:
        item: an excerpt; it is not changed.
        share: the largest share that a block takes, of each axis.
        draws: four numbers in [0, 1): size and place of the block of time, then of the other.

    Source: SpecAugment, arXiv:1904.08779.
    """
    values = item.values.clone(memory_format=torch.contiguous_format)  # so that the mean adds up in one order
    other = 2 if values.ndim == 4 else 3 - time.axis
    mean = values.mean()
    for axis, (size, place) in ((time.axis, draws[:2]), (other, draws[2:4])):
        count = int(size * (share * values.shape[axis] + 1))
        values.narrow(axis, int(place * (values.shape[axis] - count + 1)), count).fill_(mean)
    return replace(item, values=values)
