"""Utterances in, training batches out: excerpts of one length with their speakers, pitch and acoustic targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vczoo.corpus import Utterance
from vczoo.errors import ContractError
from vczoo.frames import Frames
from vczoo.model import Model
from vczoo.waveform import Waveform

__all__ = ["Batch", "Clips"]

REFERENCE_SECONDS = 3.0  # of another excerpt by the same speaker: enough to know a voice by


@dataclass(frozen=True)
class Batch:
    """What a step trains on.

    Attributes:
        speakers: (B,) int64; -1 for one that training does not hear.
        wave: (B, S) at the model's rate; None where `content` is given.
        content: (B, T, C), what a frozen backbone hears; None where the backbone trains.
        reference: (B, T'', C), content of other excerpts by the same speakers; None where the backbone trains.
        pitch: (B, T', 2), None where no voice head trains.
        target: (B, T', acoustic channels), None where no voice head trains.
    """

    speakers: Tensor
    wave: Waveform | None = None
    content: Frames | None = None
    reference: Frames | None = None
    pitch: Frames | None = None
    target: Frames | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        frames = (self.content, self.reference, self.pitch, self.target)
        wave = self.wave.to(device) if self.wave else None
        return Batch(self.speakers.to(device), wave, *(part.to(device) if part else None for part in frames))


@dataclass(frozen=True)
class _Clip:
    """One utterance or an excerpt of it; `seconds` long."""

    speaker: int
    seconds: float
    wave: Waveform | None
    content: Frames | None
    pitch: Frames | None
    target: Frames | None
    faster: tuple[Frames, ...] = ()  # the content as heard at other speeds, with as many frames


class Clips:
    """The utterances of one split, decoded once and kept in memory with their pitch and target.

    Where the whole backbone is frozen it runs once over each utterance at each speed, and excerpts are cut from
    what it hears: its frames are kept in place of the samples. An hour of speech takes 230 MB as samples, half as
    much again as mels, and for each speed 280 MB as frames of 384 channels.

    Args:
        utterances: to read.
        speakers: names in the order of the logits.
        model: decides the sample rate, and what the target is.
        crop_seconds: length of an excerpt.
        frozen: whether no stage of the backbone ever trains.
        speeds: that a frozen backbone hears excerpts at; references and whole utterances are heard as they are.

    Raises:
        ContractError: speeds other than 1 for a backbone that trains.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        speakers: Sequence[str],
        model: Model,
        crop_seconds: float,
        *,
        frozen: bool = False,
        speeds: Sequence[float] = (1.0,),
    ) -> None:
        if not frozen and set(speeds) != {1.0}:
            raise ContractError(
                f"training.content_speeds is {list(speeds)}, which is for a backbone that is wholly frozen; "
                "freeze it (freezing.use=full), or leave content_speeds at [1.0]"
            )
        # A mel target depends on nothing that trains; other acoustic frames are for heads that are not trained.
        spec = model.acoustic_mel.spec if model.acoustic_mel and model.voice_heads else None
        self.content_rate_hz = model.backbone.spec.frame_rate_hz
        self.acoustic_rate_hz = spec.frame_rate_hz if spec else 0.0
        # Excerpts start and end where a content frame does, so that content, pitch and target line up.
        self.crop_frames = max(1, round(crop_seconds * self.content_rate_hz))
        self.crop_seconds = self.crop_frames / self.content_rate_hz
        self.target_frames = spec.num_frames(round(self.crop_seconds * model.sample_rate_hz)) if spec else 0
        index = {name: position for position, name in enumerate(speakers)}
        device = next(model.parameters()).device
        self.clips: list[_Clip] = []
        model.eval()
        for utterance in utterances:
            wave = Waveform.read(utterance.path, model.sample_rate_hz)
            with torch.inference_mode():
                content = model.content(wave.to(device)).to("cpu") if frozen else None
                heard = tuple(_at_speed(model, wave.to(device), content, speed) for speed in speeds) if content else ()
                target = model.acoustic(wave.to(device)).to("cpu") if spec else None
            pitch = model.pitch(wave) if spec else None
            speaker, kept = index.get(utterance.speaker, -1), None if frozen else wave
            self.clips.append(_Clip(speaker, wave.seconds, kept, content, pitch, target, heard))
        self.of_speaker: dict[int, list[int]] = {}
        for number, clip in enumerate(self.clips):
            self.of_speaker.setdefault(clip.speaker, []).append(number)

    def __len__(self) -> int:
        """Excerpts that one epoch draws."""
        return sum(self._count(clip) for clip in self.clips)

    def epoch(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """One pass in random order, each long utterance as several random excerpts; the seed decides all of it."""
        generator = torch.Generator().manual_seed(seed)
        owners = torch.tensor([index for index, clip in enumerate(self.clips) for _ in range(self._count(clip))])
        owners = owners[torch.randperm(len(owners), generator=generator)]
        draws = torch.rand(4, len(owners), generator=generator)
        for start in range(0, len(owners), batch_size):
            chosen = [self.clips[owner] for owner in owners[start : start + batch_size].tolist()]
            places, speeds, others, starts = draws[:, start : start + batch_size].tolist()
            excerpts = [self._excerpt(*drawn) for drawn in zip(chosen, places, speeds, strict=True)]
            references = [self._reference(*drawn) for drawn in zip(chosen, others, starts, strict=True)]
            yield self._batch(excerpts, references)

    def whole(self) -> Iterator[Batch]:
        """Every utterance whole, one at a time: what validation and test look at."""
        for clip in self.clips:
            yield self._batch([clip], [clip.content])

    def _count(self, clip: _Clip) -> int:
        return max(1, round(clip.seconds / self.crop_seconds))

    def _excerpt(self, clip: _Clip, where: float, which: float) -> _Clip:
        """One excerpt of a clip, at one of the speeds; both draws are in [0, 1)."""
        wave, content = clip.wave, clip.faster[int(which * len(clip.faster))] if clip.faster else None
        if clip.seconds <= self.crop_seconds:
            return replace(clip, content=content)
        frame = int(where * (int((clip.seconds - self.crop_seconds) * self.content_rate_hz) + 1))
        began = frame / self.content_rate_hz
        if wave:
            first, count = (round(value * wave.sample_rate_hz) for value in (began, self.crop_seconds))
            wave = Waveform.of(wave.samples[:, first : first + count], wave.sample_rate_hz)
        if content:
            content = content.slice(torch.tensor([frame]), self.crop_frames)
        start = torch.tensor([round(began * self.acoustic_rate_hz)])
        pitch = clip.pitch.slice(start, self.target_frames) if clip.pitch else None
        target = clip.target.slice(start, self.target_frames) if clip.target else None
        return _Clip(clip.speaker, self.crop_seconds, wave, content, pitch, target)

    def _reference(self, clip: _Clip, which: float, where: float) -> Frames | None:
        """Content of some excerpt by the same speaker."""
        if clip.content is None:
            return None
        own = self.of_speaker[clip.speaker]
        content = self.clips[own[int(which * len(own))]].content
        assert content is not None
        count = min(round(REFERENCE_SECONDS * self.content_rate_hz) or 1, int(content.lengths[0]))
        start = int(where * (int(content.lengths[0]) - count + 1))
        return content.slice(torch.tensor([start]), count)

    @staticmethod
    def _batch(clips: Sequence[_Clip], references: Sequence[Frames | None]) -> Batch:
        waves = [clip.wave for clip in clips if clip.wave]
        columns = (
            [clip.content for clip in clips if clip.content],
            [reference for reference in references if reference],
            [clip.pitch for clip in clips if clip.pitch],
            [clip.target for clip in clips if clip.target],
        )
        return Batch(
            torch.tensor([clip.speaker for clip in clips]),
            Waveform.batch(waves) if waves else None,
            *(Frames.batch(column) if column else None for column in columns),
        )


def _at_speed(model: Model, wave: Waveform, content: Frames, speed: float) -> Frames:
    """What the backbone hears of a recording that is played faster, at the times of what it hears of it plain."""
    if speed == 1.0:
        return content
    faster = Waveform.of(wave.samples, round(wave.sample_rate_hz * speed)).resample(wave.sample_rate_hz)
    return model.content(faster).to("cpu").resize(content.lengths, 1 / speed)
