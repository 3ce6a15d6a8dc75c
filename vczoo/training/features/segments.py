"""Batches of training segments: pieces of utterances of one length, with their speakers, pitch and acoustic targets.

If a text head trains, batches contain whole utterances, because the text of a segment is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Utterance
from vczoo.training.features.activations import Activation, cut, masked
from vczoo.training.features.augment import PLAIN, Version, as_heard
from vczoo.training.features.batch import Batch, together
from vczoo.training.features.features import Features, runs

__all__ = ["SegmentBatches"]

REFERENCE_SECONDS = 3.0  # of another segment of the same speaker: enough to recognize a voice
BATCHES_ALIKE = 8  # consecutive batches that sort their segments by length among them


@dataclass(frozen=True)
class _Clip:
    """One utterance, or a segment of it that is `seconds` long."""

    utterance: Utterance
    speaker: int
    seconds: float
    wave: Waveform | None = None
    activation: Activation | None = None
    pitch: Frames | None = None
    target: Frames | None = None
    teacher_frames: Frames | None = None


class SegmentBatches:
    """The utterances of one split, and batches of segments of them.

    Segments are cut from the cached outputs of the frozen stages for whole utterances; see `Features`. If nothing is
    frozen, they are cut from the input of the first stage. If that cannot be cut, they are cut from the samples.

    Args:
        features: The features of the utterances.
        utterances: The utterances of the split.
        speakers: The names of the speakers, in the order of the logits.
        crop_seconds: The length of a segment. With a text head, each utterance is one segment of any length.
        versions: The versions that segments are drawn in. References and whole utterances are always unchanged.
        mask: The largest share of a segment's time, and of its bands, that SpecAugment hides.
    """

    def __init__(
        self,
        features: Features,
        utterances: Sequence[Utterance],
        speakers: Sequence[str],
        crop_seconds: float,
        *,
        versions: Sequence[Version] = (PLAIN,),
        mask: float = 0.0,
    ) -> None:
        self.features, self.versions, self.mask = features, tuple(versions), mask
        model = features.model
        # Mel targets do not depend on anything that trains. Heads of other acoustic frames are not trained.
        spec = features.signals_spec
        self.content_rate_hz = model.backbone.spec.frame_rate_hz
        self.acoustic_rate_hz = spec.frame_rate_hz if spec else 0.0
        self.uncut = bool(model.text_heads)
        if self.uncut:
            longest = max((utterance.seconds for utterance in utterances), default=0.0)
            crop_seconds = max(crop_seconds, longest + 1 / self.content_rate_hz)
        # Segments start and end at content frames, so that content, pitch and target stay aligned.
        self.crop_frames = max(1, round(crop_seconds * self.content_rate_hz))
        self.crop_seconds = self.crop_frames / self.content_rate_hz
        self.target_frames = spec.num_frames(round(self.crop_seconds * model.sample_rate_hz)) if spec else 0
        index = {name: position for position, name in enumerate(speakers)}
        head = next(iter(model.label_heads.values()), None)
        self._columns = model.annotation_columns
        self._label = {label: number for number, label in enumerate(head.labels)} if head else {}
        self.clips = [_Clip(u, index.get(u.speaker, -1), u.seconds) for u in utterances]
        self.of_speaker: dict[int, list[int]] = {}
        for number, clip in enumerate(self.clips):
            self.of_speaker.setdefault(clip.speaker, []).append(number)

    def __len__(self) -> int:
        """The number of segments in one epoch."""
        return sum(self._count(clip) for clip in self.clips)

    @property
    def in_waves(self) -> bool:
        """Whether segments are cut from the samples, so that all stages run on them."""
        return self.features.time is None and not self.uncut

    def uncached(self) -> list[tuple[Utterance, Version]]:
        """The pairs of utterance and version that the batches need and that are not cached yet."""
        versions = () if self.in_waves else tuple(dict.fromkeys((PLAIN, *self.versions)))
        return self.features.missing((clip.utterance for clip in self.clips), versions)

    def uncached_by_teacher(self) -> list[tuple[Utterance, Version]]:
        """The pairs that the teacher has to run on and that are not cached yet; none without a teacher."""
        teacher = self.features.teacher
        return teacher.missing((clip.utterance for clip in self.clips), (PLAIN,)) if teacher else []

    def epoch(
        self, batch_size: int, seed: int, *, first: int = 0, rank: int = 0, processes: int = 1
    ) -> Iterator[Batch]:
        """One pass in random order. Long utterances give several random segments.

        Within a window of several batches, segments of similar length share a batch, so that short utterances need
        little padding and no separate run.

        Args:
            batch_size: The batch size of all processes together.
            seed: Seed of all random choices in the pass.
            first: The number of batches to skip, because they are already done.
            rank: The index of this process. It gets every `processes`-th item of each batch.
            processes: The number of processes.
        """
        generator = torch.Generator().manual_seed(seed)
        owners = torch.tensor([index for index, clip in enumerate(self.clips) for _ in range(self._count(clip))])
        owners = owners[torch.randperm(len(owners), generator=generator)]
        draws = torch.rand(4, len(owners), generator=generator)
        hidden = torch.rand(4, len(owners), generator=generator)
        widths = torch.tensor([self._width(self.clips[owner]) for owner in owners.tolist()])
        windows = torch.arange(len(owners)).split(BATCHES_ALIKE * batch_size)  # type: ignore[no-untyped-call]
        batches = [
            batch
            for window in windows
            for batch in window[torch.sort(widths[window], stable=True)[1]].split(batch_size)
        ]
        for number in torch.randperm(len(batches), generator=generator).tolist()[first:]:
            items = batches[number]
            # All processes must take part in a step, so one without an item runs the first item, with a share of 0.
            indices = items[rank::processes] if rank < len(items) else items[:1]
            chosen = [self.clips[owner] for owner in owners[indices].tolist()]
            batch = self._drawn(chosen, draws[:, indices].tolist(), hidden[:, indices].T.tolist())
            yield replace(batch, share=len(indices) * processes / len(items) if rank < len(items) else 0.0)

    def whole(self, *, rank: int = 0, processes: int = 1) -> Iterator[Batch]:
        """Every utterance whole and unchanged, for validation and test.

        With a voice head, each batch has one utterance, because a speaker's voice is taken from all of the speaker's
        items in a batch. Speakers outside the training set have separate batches, because speaker heads cannot classify
        them.
        """
        if self.features.signals:
            groups = [[clip] for clip in self.clips]
        else:
            groups = []
            for unknown in (False, True):
                clips = sorted((c for c in self.clips if (c.speaker < 0) == unknown), key=lambda clip: clip.seconds)
                groups += runs(clips, lambda clip: clip.seconds)
        for chosen in groups[rank::processes]:
            activations = self._activations([(clip.utterance, PLAIN) for clip in chosen])
            teacher_frames = self.features.teacher_frames([clip.utterance for clip in chosen])
            items = [
                replace(self._with_signals(clip), wave=self._wave(clip), activation=item, teacher_frames=frames)
                for clip, item, frames in zip(chosen, activations, teacher_frames, strict=True)
            ]
            by_mels = self.features.signals and self.features.model.speakers_by_mels
            yield self._batch(items, [item.target if by_mels else self._frames(item.activation) for item in items])

    def _drawn(self, chosen: Sequence[_Clip], draws: list[list[float]], hidden: list[list[float]]) -> Batch:
        places, speeds, others, starts = draws
        versions = [self.versions[int(which * len(self.versions))] for which in speeds]
        mates = [self._mate(clip, which) for clip, which in zip(chosen, others, strict=True)]
        pairs = [(clip.utterance, version) for clip, version in zip(chosen, versions, strict=True)]
        by_mels = self.features.model.speakers_by_mels
        activations = self._activations([*pairs, *((mate.utterance, PLAIN) for mate in mates if mate and not by_mels)])
        of_segments = activations[: len(chosen)]
        of_mates = [self._frames(item) for item in activations[len(chosen) :]]
        if by_mels:
            of_mates = [self.features.acoustic(mate.utterance) for mate in mates if mate]
        if self.features.teacher:
            teacher_frames = self.features.teacher_frames([clip.utterance for clip in chosen])
            chosen = [replace(clip, teacher_frames=frames) for clip, frames in zip(chosen, teacher_frames, strict=True)]
        segments = [self._segment(*drawn) for drawn in zip(chosen, versions, of_segments, places, hidden, strict=True)]
        return self._batch(
            segments,
            [self._reference(*drawn) for drawn in zip(of_mates, starts, strict=True)] if of_mates else [],
        )

    def _width(self, clip: _Clip) -> int:
        """The number of samples that a segment of the clip is padded to."""
        backbone = self.features.model.backbone
        return backbone.padded_length(round(min(clip.seconds, self.crop_seconds) * backbone.spec.sample_rate_hz))

    def _count(self, clip: _Clip) -> int:
        return max(1, round(clip.seconds / self.crop_seconds))

    def _activations(self, pairs: Sequence[tuple[Utterance, Version]]) -> Sequence[Activation | None]:
        return [None] * len(pairs) if self.in_waves else self.features.activations(pairs)

    def _wave(self, clip: _Clip, version: Version = PLAIN) -> Waveform | None:
        return as_heard(self.features.wave(clip.utterance), version) if self.in_waves else None

    def _with_signals(self, clip: _Clip) -> _Clip:
        if not self.features.signals:
            return clip
        target = self.features.acoustic(clip.utterance) if self.features.mels else None
        return replace(clip, pitch=self.features.pitch(clip.utterance), target=target)

    def _segment(
        self, clip: _Clip, version: Version, activation: Activation | None, where: float, hidden: Sequence[float]
    ) -> _Clip:
        """Cut one segment of a clip. `where` it starts and what is `hidden` are numbers in [0, 1)."""
        time = self.features.time
        clip = replace(self._with_signals(clip), wave=self._wave(clip, version), activation=activation)
        if clip.seconds > self.crop_seconds:
            frame = int(where * (int((clip.seconds - self.crop_seconds) * self.content_rate_hz) + 1))
            if activation and time:
                part, frame = cut(activation, time, frame, self.crop_frames)
                clip = (
                    replace(clip, activation=part)
                    if part is activation
                    else self._from(replace(clip, activation=part), frame)
                )
            else:
                clip = self._from(clip, frame)
        if clip.activation:
            item = Activation(clip.activation.values.float(), clip.activation.length)
            clip = replace(clip, activation=masked(item, time, self.mask, hidden) if self.mask and time else item)
        return clip

    def _from(self, clip: _Clip, frame: int) -> _Clip:
        """Cut the clip's samples, pitch and target, starting at a content frame."""
        start_seconds = frame / self.content_rate_hz
        wave = clip.wave
        if wave:
            first, count = (round(value * wave.sample_rate_hz) for value in (start_seconds, self.crop_seconds))
            wave = Waveform.of(wave.samples[:, first : first + count], wave.sample_rate_hz)
        start = torch.tensor([round(start_seconds * self.acoustic_rate_hz)])
        pitch = clip.pitch.slice(start, self.target_frames) if clip.pitch else None
        target = clip.target.slice(start, self.target_frames) if clip.target else None
        teacher_frames = (
            clip.teacher_frames.slice(torch.tensor([frame]), self.crop_frames) if clip.teacher_frames else None
        )
        return replace(
            clip, seconds=self.crop_seconds, wave=wave, pitch=pitch, target=target, teacher_frames=teacher_frames
        )

    def _mate(self, clip: _Clip, which: float) -> _Clip | None:
        """Another clip of the same speaker for the reference; None if the segment itself is the reference."""
        if not self.features.mels:
            return None
        if not self.features.wholly_frozen and not self.features.model.speakers_by_mels:
            return None  # it would need another pass through the backbone
        numbers = self.of_speaker[clip.speaker]
        return self.clips[numbers[int(which * len(numbers))]]

    def _reference(self, frames: Frames | None, where: float) -> Frames | None:
        """A random segment of content or mels."""
        if frames is None:
            return None
        by_mels = self.features.model.speakers_by_mels
        rate_hz = self.acoustic_rate_hz if by_mels else self.content_rate_hz
        count = min(round(REFERENCE_SECONDS * rate_hz) or 1, int(frames.lengths[0]))
        start = int(where * (int(frames.lengths[0]) - count + 1))
        return frames.slice(torch.tensor([start]), count)

    def _frames(self, activation: Activation | None) -> Frames | None:
        """The activation as content frames, if all stages are frozen; otherwise None."""
        return Frames.of(activation.values.float()) if activation and self.features.wholly_frozen else None

    def _batch(self, clips: Sequence[_Clip], references: Sequence[Frames | None]) -> Batch:
        waves = [clip.wave for clip in clips if clip.wave]
        activations = tuple(
            Activation(clip.activation.values.float(), clip.activation.length)
            for clip in clips
            if clip.activation and not self.features.wholly_frozen
        )
        return Batch(
            torch.tensor([clip.speaker for clip in clips]),
            self.features.depth,
            has_unknown_speakers=any(clip.speaker < 0 for clip in clips),
            wave=Waveform.batch(waves) if waves else None,
            activations=activations or None,
            content=together(self._frames(clip.activation) for clip in clips),
            reference=together(references),
            pitch=together(clip.pitch for clip in clips),
            target=together(clip.target for clip in clips),
            teacher_frames=together(clip.teacher_frames for clip in clips),
            texts=tuple(clip.utterance.text for clip in clips) if self.features.model.text_heads else (),
            labels=torch.tensor([self._label[clip.utterance.label] for clip in clips]) if self._label else None,
            annotations={column: self._annotations(clips, column) for column in self._columns},
        )

    def _annotations(self, clips: Sequence[_Clip], column: str) -> torch.Tensor | tuple[str, ...]:
        values = tuple(clip.utterance.annotation(column) for clip in clips)
        return torch.tensor([float(value) for value in values]) if self._columns[column] == "number" else values
