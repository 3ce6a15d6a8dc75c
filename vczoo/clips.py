"""Utterances in, training batches out: excerpts of one length with their speakers, pitch and acoustic targets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vczoo.corpus import Utterance
from vczoo.frames import Frames
from vczoo.model import Model
from vczoo.waveform import Waveform

__all__ = ["Batch", "Clips"]


@dataclass(frozen=True)
class Batch:
    """What `Model.loss` takes.

    Attributes:
        wave: (B, S).
        speakers: (B,) int64.
        pitch: (B, T', 2), None where no voice head trains.
        target: (B, T', acoustic channels), None where no voice head trains.
    """

    wave: Waveform
    speakers: Tensor
    pitch: Frames | None
    target: Frames | None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        pitch = self.pitch.to(device) if self.pitch else None
        target = self.target.to(device) if self.target else None
        return Batch(self.wave.to(device), self.speakers.to(device), pitch, target)


@dataclass(frozen=True)
class _Clip:
    wave: Waveform
    speaker: int
    pitch: Frames | None
    target: Frames | None


class Clips:
    """The utterances of one split, decoded once and kept in memory with their pitch and target.

    An hour of speech takes 230 MB as samples and half as much again as mels.

    Args:
        utterances: to read.
        speakers: names in the order of the logits.
        model: decides the sample rate, and what the target is.
        crop_seconds: length of an excerpt.
    """

    def __init__(
        self, utterances: Sequence[Utterance], speakers: Sequence[str], model: Model, crop_seconds: float
    ) -> None:
        # A mel target depends on nothing that trains; other acoustic frames are for heads that are not trained.
        trains_voice = bool(model.voice_heads) and model.acoustic_mel is not None
        self.hop = model.acoustic_mel.spec.hop_length if model.acoustic_mel else 1
        # Excerpts start where a frame of both rates starts, so that content, pitch and target line up.
        self.grid = math.lcm(self.hop, model.backbone.spec.hop_length)
        self.crop = max(1, round(crop_seconds * model.sample_rate_hz / self.grid)) * self.grid
        index = {name: position for position, name in enumerate(speakers)}
        self.clips: list[_Clip] = []
        device = next(model.parameters()).device
        for utterance in utterances:
            wave = Waveform.read(utterance.path, model.sample_rate_hz)
            with torch.inference_mode():
                target = model.acoustic(wave.to(device)).to("cpu") if trains_voice else None
            pitch = model.pitch(wave) if trains_voice else None
            self.clips.append(_Clip(wave, index[utterance.speaker], pitch, target))

    def __len__(self) -> int:
        """Excerpts that one epoch draws."""
        return sum(self._count(clip) for clip in self.clips)

    def epoch(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """One pass in random order, each long utterance as several random excerpts; the seed decides all of it."""
        generator = torch.Generator().manual_seed(seed)
        owners = torch.tensor([index for index, clip in enumerate(self.clips) for _ in range(self._count(clip))])
        owners = owners[torch.randperm(len(owners), generator=generator)]
        draws = torch.rand(len(owners), generator=generator)
        for start in range(0, len(owners), batch_size):
            chosen = zip(
                owners[start : start + batch_size].tolist(), draws[start : start + batch_size].tolist(), strict=True
            )
            yield self._batch([self._excerpt(self.clips[owner], draw) for owner, draw in chosen])

    def whole(self) -> Iterator[Batch]:
        """Every utterance whole, one at a time: what validation and test look at."""
        for clip in self.clips:
            yield self._batch([clip])

    def _count(self, clip: _Clip) -> int:
        return max(1, round(clip.wave.samples.shape[1] / self.crop))

    def _excerpt(self, clip: _Clip, draw: float) -> _Clip:
        length = clip.wave.samples.shape[1]
        if length <= self.crop:
            return clip
        start = int(draw * ((length - self.crop) // self.grid + 1)) * self.grid
        wave = Waveform.of(clip.wave.samples[:, start : start + self.crop], clip.wave.sample_rate_hz)
        first, count = torch.tensor([start // self.hop]), 1 + self.crop // self.hop
        pitch = clip.pitch.slice(first, count) if clip.pitch else None
        target = clip.target.slice(first, count) if clip.target else None
        return _Clip(wave, clip.speaker, pitch, target)

    @staticmethod
    def _batch(clips: Sequence[_Clip]) -> Batch:
        pitch = [clip.pitch for clip in clips if clip.pitch]
        target = [clip.target for clip in clips if clip.target]
        return Batch(
            Waveform.batch([clip.wave for clip in clips]),
            torch.tensor([clip.speaker for clip in clips]),
            Frames.batch(pitch) if pitch else None,
            Frames.batch(target) if target else None,
        )
