"""Chunked conversion of recordings of any length in constant memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.level import follow_level
from vczoo.audio.pitch import PITCH_CENTRE_LOG_HZ, PITCH_SCALE, log_ratio, pitch_shift
from vczoo.audio.reader import SoundReader
from vczoo.audio.resampling import BlockResampler
from vczoo.audio.waveform import Waveform
from vczoo.conversion.chunking import Chunk, Chunker, ChunkPlan, CrossfadeJoiner
from vczoo.models.model import Model, shifted

__all__ = [
    "Blocks",
    "ChunkedConversion",
    "MeanPitch",
    "convert_in_chunks",
    "estimate_pitch_statistics",
    "file_plan",
    "frame_grid",
]

BLOCK_SECONDS, HISTORY_SECONDS, LOOKAHEAD_SECONDS = 24.0, 3.0, 3.0  # 30 s together: one window of Whisper
SEARCH_SECONDS = 2.0  # speech has a pause or a stop within this time
FADE_SECONDS, LAG_SECONDS = 0.02, 0.005  # the lag is half a period of 100 Hz
VOCODER_HISTORY_SECONDS = 0.5  # a vocoder has a smaller receptive field than a backbone
COARSEST_GRID_SECONDS = 0.5
PITCH_BLOCK_SECONDS = 30

Voices = Sequence[tuple[Mapping[str, Tensor], float]]


@dataclass(frozen=True)
class Blocks:
    """A recording as resampled blocks (S,). Each iteration starts from its beginning.

    Attributes:
        recording: A sound file, or a waveform of one item.
        sample_rate_hz: Sample rate of the blocks.
    """

    recording: SoundReader | Waveform
    sample_rate_hz: int

    @property
    def seconds(self) -> float:
        """Duration in seconds; that of a file is according to its header."""
        return self.recording.seconds

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the blocks.

        Raises:
            AudioError: The recording has a fault (see `SoundReader`).
        """
        resampler = BlockResampler(self.recording.sample_rate_hz, self.sample_rate_hz)
        if isinstance(self.recording, Waveform):
            samples, length = self.recording[0].samples[0], PITCH_BLOCK_SECONDS * self.sample_rate_hz
            blocks: Iterable[Tensor] = (samples[first : first + length] for first in range(0, len(samples), length))
        else:
            blocks = map(torch.from_numpy, self.recording)
        for block in blocks:
            yield resampler.push(block)
        yield resampler.finish()


class MeanPitch:
    """Running mean of log-F0."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, pitch: Frames, first: int = 0, stop: int | None = None) -> None:
        """Add the voiced frames from `first` to `stop` of pitch frames (1, T, 2)."""
        values = pitch.values[0, first:stop]
        voiced = values[:, 1] > 0
        self._sum += float(values[voiced, 0].double().sum())
        self._count += int(voiced.sum())

    @property
    def log_hz(self) -> float:
        """Mean natural log of F0 in Hz. It is NaN if no frame was voiced."""
        return self._sum / self._count * PITCH_SCALE + PITCH_CENTRE_LOG_HZ if self._count else math.nan


class ChunkedConversion:
    """Conversion of a stream of samples to a voice, in overlapping chunks.

    Args:
        model: The model, in eval mode.
        voices: Tensors of each voice, with its share in the mix.
        plan: Lengths of the chunks at the model's sample rate. Block and history are multiples of `frame_grid`.
        shift: Natural logarithm of the ratio by which F0 is multiplied. None moves the mean of the input so far to
            that of the voice.
        device: Torch device to compute on.

    Raises:
        VoiceError: The recipe has no voice head.
    """

    def __init__(
        self, model: Model, voices: Voices, plan: ChunkPlan, *, shift: float | None, device: torch.device | str = "cpu"
    ) -> None:
        model.check_converts()
        self.model, self.shift, self.device = model, shift, device
        # Moved only once, because the frames of an hour of a voice take a gigabyte.
        self.voices = [({name: value.to(device) for name, value in voice.items()}, share) for voice, share in voices]
        self.chunker, self.joiner = Chunker(plan), CrossfadeJoiner(plan)
        assert model.vocoder is not None
        self.hop = model.vocoder.accepts.hop_length
        self.mean = MeanPitch()
        self.done = 0

    def push(self, samples: Tensor) -> Iterator[Tensor]:
        """Add samples (S,) and yield a converted block (S',) for each chunk that they complete."""
        for chunk in self.chunker.push(samples):
            yield self._convert(chunk)

    def finish(self) -> Iterator[Tensor]:
        """Yield the remaining blocks. All blocks together are then as long as the input."""
        for chunk in self.chunker.finish():
            yield self._convert(chunk)

    @torch.inference_mode()
    def _convert(self, chunk: Chunk) -> Tensor:
        rate = self.model.sample_rate_hz
        wave = Waveform.of(chunk.samples, rate).to(self.device)
        pitch = self.model.pitch(wave)
        shift = self.shift
        if shift is None:
            stop = None if chunk.last else (chunk.end - chunk.start) // self.hop
            self.mean.add(pitch, (self.done - chunk.start) // self.hop, stop)
            shift = pitch_shift(self.voices, self.mean.log_hz)
        frames = self.model.say(self.model.content(wave), pitch, self.voices, shift)
        skipped = max(0, (self.done - chunk.start - round(VOCODER_HISTORY_SECONDS * rate)) // self.hop)
        pitch = shifted(pitch, shift)
        frames, pitch = (Frames(each.values[:, skipped:], each.lengths - skipped) for each in (frames, pitch))
        start = chunk.start + skipped * self.hop
        before = Waveform.of(self.joiner.before(start), rate).to(self.device) if self.done else None
        converted = self.model.synthesize(frames, pitch, before)
        length = chunk.start + len(chunk.samples) - start
        samples = converted.samples[0, :length].cpu()
        samples = follow_level(F.pad(samples, (0, length - len(samples))), chunk.samples[-length:].cpu(), rate)
        self.done = chunk.end
        return self.joiner.add(samples, start, chunk.end, last=chunk.last)


def frame_grid(model: Model) -> int:
    """Distance, in samples at the model's rate, between positions at which content and vocoder frames begin together.

    A chunk that begins at such a position has the same frames as the whole recording. If these positions are too far
    apart (22.05 kHz and 16 kHz: every 5 s), the grid is the vocoder's hop, and content is interpolated between frames.
    """
    assert model.vocoder is not None
    hop, rate, spec = model.vocoder.accepts.hop_length, model.sample_rate_hz, model.backbone.spec
    content = Fraction(spec.hop_length * rate, spec.sample_rate_hz)
    common = hop * (Fraction(hop) / content).denominator
    return common if common <= COARSEST_GRID_SECONDS * rate else hop


def plan_in_seconds(
    model: Model,
    *,
    block: float,
    history: float,
    lookahead: float,
    search: float,
    fade: float,
    lag: float,
) -> ChunkPlan:
    """Convert lengths in seconds to a plan at the model's sample rate.

    Block and history are rounded to multiples of `frame_grid`, but a block is at least one grid step, and history is at
    least as long as the lag. Lookahead is rounded up to whole hops.

    Args:
        model: A model with a vocoder.
        block, history, lookahead, search, fade, lag: The lengths of a `ChunkPlan`, in seconds.

    Raises:
        ContractError: A length is out of range (see `ChunkPlan`).
    """
    assert model.vocoder is not None
    rate, grid, hop = model.sample_rate_hz, frame_grid(model), model.vocoder.accepts.hop_length
    return ChunkPlan(
        block=max(1, round(block * rate / grid)) * grid,
        history=max(round(history * rate / grid), math.ceil(lag * rate / grid)) * grid,
        lookahead=math.ceil(lookahead * rate / hop) * hop,
        search=round(search * rate),
        fade=round(fade * rate),
        lag=round(lag * rate),
    )


def file_plan(model: Model) -> ChunkPlan:
    """The plan by which long recordings are cut into chunks."""
    return plan_in_seconds(
        model,
        block=BLOCK_SECONDS,
        history=HISTORY_SECONDS,
        lookahead=LOOKAHEAD_SECONDS,
        search=SEARCH_SECONDS,
        fade=FADE_SECONDS,
        lag=LAG_SECONDS,
    )


@torch.inference_mode()
def estimate_pitch_statistics(model: Model, blocks: Blocks, *, pitch: bool) -> float:
    """Read a recording once to its end, and compute its mean pitch.

    This finds faults before the conversion starts, not after an hour of it.

    Args:
        model: The model that the recording will be converted with.
        blocks: The recording.
        pitch: Whether to track pitch. If false, the recording is only checked.

    Returns:
        Mean natural log of F0 in Hz. NaN without pitch tracking, or if no frame is voiced.

    Raises:
        AudioError: The recording has a fault.
    """
    mean, pending, count = MeanPitch(), list[Tensor](), 0
    for block in blocks:
        pending.append(block)
        count += len(block)
        if count >= PITCH_BLOCK_SECONDS * blocks.sample_rate_hz:
            if pitch:
                mean.add(model.pitch(Waveform.of(torch.cat(pending), blocks.sample_rate_hz)))
            pending, count = [], 0
    if pitch and count:
        mean.add(model.pitch(Waveform.of(torch.cat(pending), blocks.sample_rate_hz)))
    return mean.log_hz


def convert_in_chunks(
    model: Model, blocks: Blocks, voices: Voices, *, semitones: float | None, device: torch.device | str = "cpu"
) -> Iterator[Tensor]:
    """Convert a recording to a voice, in chunks.

    The recording is read twice: first to find faults and, if `semitones` is None, its mean pitch; then to convert it.

    Args:
        model: The model, in eval mode.
        blocks: The recording at the model's sample rate.
        voices: Tensors of each voice, with its share in the mix.
        semitones: Pitch shift in semitones. None moves the mean pitch of the recording to that of the voice.
        device: Torch device to compute on.

    Yields:
        Blocks (S,) at the model's sample rate, together as long as the recording.

    Raises:
        VoiceError: The recipe has no voice head.
        AudioError: The recording has a fault. No block has been yielded then.
        ContractError: `semitones` is out of range.
    """
    model.check_converts()
    fixed_shift = None if semitones is None else log_ratio(semitones)
    mean = estimate_pitch_statistics(model, blocks, pitch=fixed_shift is None)
    shift = pitch_shift(voices, mean) if fixed_shift is None else fixed_shift
    conversion = ChunkedConversion(model, voices, file_plan(model), shift=shift, device=device)
    for block in blocks:
        yield from conversion.push(block)
    yield from conversion.finish()
