"""Samples of a recording of any length in, samples in a voice out, piece by piece, in memory that does not grow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.pitch import PITCH_CENTRE_LOG_HZ, PITCH_SCALE, log_ratio, pitch_shift
from vczoo.audio.reader import SoundReader
from vczoo.audio.resampling import BlockResampler
from vczoo.audio.waveform import Waveform
from vczoo.conversion.chunking import Chunk, Chunker, ChunkPlan, CrossfadeJoiner
from vczoo.errors import AudioError
from vczoo.models.model import Model

__all__ = [
    "Blocks",
    "ChunkedConversion",
    "MeanPitch",
    "convert_in_chunks",
    "estimate_pitch_statistics",
    "file_plan",
    "frame_grid",
]

BLOCK_SECONDS, HISTORY_SECONDS, LOOKAHEAD_SECONDS = 24.0, 3.0, 3.0  # 30 s together: one window of Whisper's
SEARCH_SECONDS = 2.0  # speech has a pause or a stop within
FADE_SECONDS, LAG_SECONDS = 0.02, 0.005  # a lag of half a period of 100 Hz
VOCODER_HISTORY_SECONDS = 0.5  # a vocoder hears less far than a backbone
COARSEST_GRID_SECONDS = 0.5
SURVEYED_SECONDS = 30

Voices = Sequence[tuple[Mapping[str, Tensor], float]]


@dataclass(frozen=True)
class Blocks:
    """A recording as blocks (S,) at one rate, as often as it is iterated over.

    Attributes:
        recording: a file, or one waveform.
        sample_rate_hz: of the blocks.
    """

    recording: SoundReader | Waveform
    sample_rate_hz: int

    @property
    def seconds(self) -> float:
        """Its length; a file's as its header has it."""
        return self.recording.seconds

    def __iter__(self) -> Iterator[Tensor]:
        """The blocks.

        Raises:
            AudioError: as `SoundReader` and `BlockResampler`.
        """
        try:
            resampler = BlockResampler(self.recording.sample_rate_hz, self.sample_rate_hz)
        except AudioError as error:
            where = f"{self.recording.path}: " if isinstance(self.recording, SoundReader) else ""
            raise AudioError(f"{where}{error}") from error
        if isinstance(self.recording, Waveform):
            samples, length = self.recording[0].samples[0], SURVEYED_SECONDS * self.sample_rate_hz
            blocks: Iterable[Tensor] = (samples[first : first + length] for first in range(0, len(samples), length))
        else:
            blocks = map(torch.from_numpy, self.recording)
        for block in blocks:
            yield resampler.push(block)
        yield resampler.finish()


class MeanPitch:
    """The mean log-F0 of what was added so far."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, pitch: Frames, first: int = 0, stop: int | None = None) -> None:
        """Count the voiced frames of (1, T, 2) from `first` to `stop`."""
        values = pitch.values[0, first:stop]
        voiced = values[:, 1] > 0
        self._sum += float(values[voiced, 0].double().sum())
        self._count += int(voiced.sum())

    @property
    def log_hz(self) -> float:
        """The natural log of F0 in Hz; NaN where nothing was voiced."""
        return self._sum / self._count * PITCH_SCALE + PITCH_CENTRE_LOG_HZ if self._count else math.nan


class ChunkedConversion:
    """Says what a stream of samples says in a voice, by a plan.

    Args:
        model: in eval mode.
        voices: tensors of each voice, with its share.
        plan: at the model's rate; its block and history are multiples of `frame_grid`.
        shift: the logarithm of the ratio that F0 is multiplied by; None moves the mean of what was heard so far to
            the voice's.
        device: where it computes.
    """

    def __init__(
        self, model: Model, voices: Voices, plan: ChunkPlan, *, shift: float | None, device: torch.device | str = "cpu"
    ) -> None:
        model.check_converts()
        self.model, self.shift, self.device = model, shift, device
        # Once: an hour of a voice's frames is a gigabyte.
        self.voices = [({name: value.to(device) for name, value in voice.items()}, share) for voice, share in voices]
        self.cutter, self.joiner = Chunker(plan), CrossfadeJoiner(plan)
        assert model.vocoder is not None
        self.vocoder = model.vocoder
        self.hop = model.vocoder.accepts.hop_length
        self.mean = MeanPitch()
        self.done = 0

    def push(self, samples: Tensor) -> Iterator[Tensor]:
        """Take (S,) more samples; a block (S',) for each piece that they complete."""
        for piece in self.cutter.push(samples):
            yield self._convert(piece)

    def finish(self) -> Iterator[Tensor]:
        """What is left: all blocks together are then as long as what was pushed."""
        for piece in self.cutter.finish():
            yield self._convert(piece)

    @torch.inference_mode()
    def _convert(self, piece: Chunk) -> Tensor:
        rate = self.model.sample_rate_hz
        wave = Waveform.of(piece.samples, rate).to(self.device)
        pitch = self.model.pitch(wave)
        shift = self.shift
        if shift is None:
            stop = None if piece.last else (piece.end - piece.start) // self.hop
            self.mean.add(pitch, (self.done - piece.start) // self.hop, stop)
            shift = pitch_shift(self.voices, self.mean.log_hz)
        frames = self.model.say(self.model.content(wave), pitch, self.voices, shift)
        skipped = max(0, (self.done - piece.start - round(VOCODER_HISTORY_SECONDS * rate)) // self.hop)
        frames = Frames(frames.values[:, skipped:], frames.lengths - skipped)
        start = piece.start + skipped * self.hop
        if self.done:
            before = Waveform.of(self.joiner.before(start), rate).to(self.device)
            made = self.vocoder.follow(frames, before)
        else:
            made = self.vocoder(frames)
        samples = made.samples[0, : piece.start + len(piece.samples) - start].cpu()
        samples = F.pad(samples, (0, piece.start + len(piece.samples) - start - len(samples)))
        self.done = piece.end
        return self.joiner.add(samples, start, piece.end, last=piece.last)


def frame_grid(model: Model) -> int:
    """Samples at the model's rate after which frames of content and of the vocoder begin together again.

    A piece that begins there has the frames of the whole. Where rates meet too rarely (22.05 kHz and 16 kHz: every
    5 s), it is the vocoder's hop alone, and content is read between its frames.
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
    """A plan at the model's rate: block and history are rounded to whole grids, lookahead up to a whole hop.

    A block is at least a grid, and history reaches at least over the lag.

    Raises:
        ContractError: as `Plan`.
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
    """How a long recording is cut."""
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
    """Read a recording once from end to end, so that no fault comes after an hour; its mean log-F0, NaN for none.

    Args:
        pitch: whether pitch is tracked.

    Raises:
        AudioError: the recording has a fault.
    """
    mean, held, count = MeanPitch(), list[Tensor](), 0
    for block in blocks:
        held.append(block)
        count += len(block)
        if count >= SURVEYED_SECONDS * blocks.sample_rate_hz:
            if pitch:
                mean.add(model.pitch(Waveform.of(torch.cat(held), blocks.sample_rate_hz)))
            held, count = [], 0
    if pitch and count:
        mean.add(model.pitch(Waveform.of(torch.cat(held), blocks.sample_rate_hz)))
    return mean.log_hz


def convert_in_chunks(
    model: Model, blocks: Blocks, voices: Voices, *, semitones: float | None, device: torch.device | str = "cpu"
) -> Iterator[Tensor]:
    """Say what a recording says in a voice: blocks (S,) at the model's rate, together as long as the recording.

    It is read twice: the first time its faults are found and, where `semitones` is None, its mean pitch.

    Raises:
        VoiceError: the recipe has no voice head.
        AudioError: the recording has a fault; nothing was given out then.
        ContractError: `semitones` is NaN or infinite.
    """
    model.check_converts()
    given = None if semitones is None else log_ratio(semitones)
    mean = estimate_pitch_statistics(model, blocks, pitch=given is None)
    shift = pitch_shift(voices, mean) if given is None else given
    conversion = ChunkedConversion(model, voices, file_plan(model), shift=shift, device=device)
    for block in blocks:
        yield from conversion.push(block)
    yield from conversion.finish()
