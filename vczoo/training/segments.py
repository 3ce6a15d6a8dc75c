"""Utterances in, training batches out: excerpts of one length with their speakers, pitch and acoustic targets.

Where a text head trains the batches are of whole utterances: what is said in an excerpt is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Utterance
from vczoo.training.activations import Activation, cut, masked
from vczoo.training.augment import PLAIN, Version, as_heard
from vczoo.training.batch import Batch, together
from vczoo.training.features import Features, runs

__all__ = ["SegmentBatches"]

REFERENCE_SECONDS = 3.0  # of another excerpt by the same speaker: enough to know a voice by
BATCHES_ALIKE = 8  # batches whose excerpts are sorted by length among them


@dataclass(frozen=True)
class _Clip:
    """One utterance or an excerpt of it; `seconds` long."""

    utterance: Utterance
    speaker: int
    seconds: float
    wave: Waveform | None = None
    heard: Activation | None = None
    pitch: Frames | None = None
    target: Frames | None = None
    teacher_frames: Frames | None = None


class SegmentBatches:
    """The utterances of one split, and batches of excerpts of them.

    Excerpts are cut from what the frozen stages make of whole utterances, which is made once: see `Features`. Where
    nothing is frozen they are cut from what the first stage reads; where that cannot be cut, from the samples.

    Args:
        features: of the utterances.
        utterances: of the split.
        speakers: names in the order of the logits.
        crop_seconds: length of an excerpt; with a text head an utterance is one, however long.
        versions: that excerpts are heard in; references and whole utterances are heard as they are.
        mask: the largest share of an excerpt's time, and of its bands, that is hidden (SpecAugment).
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
        # A mel target depends on nothing that trains; other acoustic frames are for heads that are not trained.
        spec = model.acoustic_mel.spec if model.acoustic_mel and features.signals else None
        self.content_rate_hz = model.backbone.spec.frame_rate_hz
        self.acoustic_rate_hz = spec.frame_rate_hz if spec else 0.0
        self.uncut = bool(model.text_heads)
        if self.uncut:
            longest = max((utterance.seconds for utterance in utterances), default=0.0)
            crop_seconds = max(crop_seconds, longest + 1 / self.content_rate_hz)
        # Excerpts start and end where a content frame does, so that content, pitch and target line up.
        self.crop_frames = max(1, round(crop_seconds * self.content_rate_hz))
        self.crop_seconds = self.crop_frames / self.content_rate_hz
        self.target_frames = spec.num_frames(round(self.crop_seconds * model.sample_rate_hz)) if spec else 0
        index = {name: position for position, name in enumerate(speakers)}
        head = next(iter(model.label_heads.values()), None)
        self._label = {label: number for number, label in enumerate(head.labels)} if head else {}
        self.clips = [_Clip(u, index.get(u.speaker, -1), u.seconds) for u in utterances]
        self.of_speaker: dict[int, list[int]] = {}
        for number, clip in enumerate(self.clips):
            self.of_speaker.setdefault(clip.speaker, []).append(number)

    def __len__(self) -> int:
        """Excerpts that one epoch draws."""
        return sum(self._count(clip) for clip in self.clips)

    @property
    def in_waves(self) -> bool:
        """Whether excerpts are cut from the samples, and all stages run on them."""
        return self.features.time is None and not self.uncut

    def wanted(self) -> list[tuple[Utterance, Version]]:
        """What the batches are cut from and is not kept yet."""
        versions = () if self.in_waves else tuple(dict.fromkeys((PLAIN, *self.versions)))
        return self.features.missing((clip.utterance for clip in self.clips), versions)

    def lessons(self) -> list[tuple[Utterance, Version]]:
        """What the teacher hears and is not kept yet; nothing without a teacher."""
        teacher = self.features.teacher
        return teacher.missing((clip.utterance for clip in self.clips), (PLAIN,)) if teacher else []

    def epoch(
        self, batch_size: int, seed: int, *, first: int = 0, rank: int = 0, processes: int = 1
    ) -> Iterator[Batch]:
        """One pass in random order, each long utterance as several random excerpts; the seed decides all of it.

        Excerpts of like length share a batch, among so many batches that come after each other: what is shorter than
        an excerpt need not be padded, nor run apart.

        Args:
            batch_size: of all processes together.
            seed: of the pass.
            first: how many batches are left out, as done before.
            rank: of this process; it gets every so many-th item of each batch.
            processes: how many there are.
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
            # A process without an item does the first one, which then does not count: all must take part in a step.
            own = items[rank::processes] if rank < len(items) else items[:1]
            chosen = [self.clips[owner] for owner in owners[own].tolist()]
            batch = self._drawn(chosen, draws[:, own].tolist(), hidden[:, own].T.tolist())
            yield replace(batch, share=len(own) * processes / len(items) if rank < len(items) else 0.0)

    def whole(self, *, rank: int = 0, processes: int = 1) -> Iterator[Batch]:
        """Every utterance whole, as it is: what validation and test look at.

        With a voice head one at a time, since speakers are heard in all their items of a batch. Who is a stranger to
        training is apart from those who are not, since speaker heads cannot be asked about them.
        """
        if self.features.signals:
            groups = [[clip] for clip in self.clips]
        else:
            groups = []
            for strange in (False, True):
                own = sorted((c for c in self.clips if (c.speaker < 0) == strange), key=lambda clip: clip.seconds)
                groups += runs(own, lambda clip: clip.seconds)
        for chosen in groups[rank::processes]:
            found = self._heard([(clip.utterance, PLAIN) for clip in chosen])
            teacher_frames = self.features.teacher_frames([clip.utterance for clip in chosen])
            items = [
                replace(self._with_signals(clip), wave=self._wave(clip), heard=item, teacher_frames=lesson)
                for clip, item, lesson in zip(chosen, found, teacher_frames, strict=True)
            ]
            by_mels = self.features.signals and self.features.model.speakers_by_mels
            yield self._batch(items, [item.target if by_mels else self._frames(item.heard) for item in items])

    def _drawn(self, chosen: Sequence[_Clip], draws: list[list[float]], hidden: list[list[float]]) -> Batch:
        places, speeds, others, starts = draws
        versions = [self.versions[int(which * len(self.versions))] for which in speeds]
        mates = [self._mate(clip, which) for clip, which in zip(chosen, others, strict=True)]
        wanted = [(clip.utterance, version) for clip, version in zip(chosen, versions, strict=True)]
        by_mels = self.features.model.speakers_by_mels
        found = self._heard([*wanted, *((mate.utterance, PLAIN) for mate in mates if mate and not by_mels)])
        heard = found[: len(chosen)]
        elsewhere = [self._frames(item) for item in found[len(chosen) :]]
        if by_mels:
            elsewhere = [self.features.acoustic(mate.utterance) for mate in mates if mate]
        teacher_frames = self.features.teacher_frames([clip.utterance for clip in chosen])
        chosen = [replace(clip, teacher_frames=lesson) for clip, lesson in zip(chosen, teacher_frames, strict=True)]
        excerpts = [self._excerpt(*drawn) for drawn in zip(chosen, versions, heard, places, hidden, strict=True)]
        return self._batch(
            excerpts,
            [self._reference(*drawn) for drawn in zip(elsewhere, starts, strict=True)] if elsewhere else [],
        )

    def _width(self, clip: _Clip) -> int:
        """Samples that an excerpt of the clip is padded to."""
        backbone = self.features.model.backbone
        return backbone.padded_length(round(min(clip.seconds, self.crop_seconds) * backbone.spec.sample_rate_hz))

    def _count(self, clip: _Clip) -> int:
        return max(1, round(clip.seconds / self.crop_seconds))

    def _heard(self, wanted: Sequence[tuple[Utterance, Version]]) -> Sequence[Activation | None]:
        return [None] * len(wanted) if self.in_waves else self.features.activations(wanted)

    def _wave(self, clip: _Clip, version: Version = PLAIN) -> Waveform | None:
        return as_heard(self.features.wave(clip.utterance), version) if self.in_waves else None

    def _with_signals(self, clip: _Clip) -> _Clip:
        if not self.features.signals:
            return clip
        return replace(clip, pitch=self.features.pitch(clip.utterance), target=self.features.acoustic(clip.utterance))

    def _excerpt(
        self, clip: _Clip, version: Version, heard: Activation | None, where: float, hidden: Sequence[float]
    ) -> _Clip:
        """One excerpt of a clip; `where` it starts and what is hidden are drawn from [0, 1)."""
        time = self.features.time
        clip = replace(self._with_signals(clip), wave=self._wave(clip, version), heard=heard)
        if clip.seconds > self.crop_seconds:
            frame = int(where * (int((clip.seconds - self.crop_seconds) * self.content_rate_hz) + 1))
            if heard and time:
                part, frame = cut(heard, time, frame, self.crop_frames)
                clip = replace(clip, heard=part) if part is heard else self._from(replace(clip, heard=part), frame)
            else:
                clip = self._from(clip, frame)
        if clip.heard:
            item = Activation(clip.heard.values.float(), clip.heard.length)
            clip = replace(clip, heard=masked(item, time, self.mask, hidden) if self.mask and time else item)
        return clip

    def _from(self, clip: _Clip, frame: int) -> _Clip:
        """The clip's samples, pitch and target from a content frame on."""
        began = frame / self.content_rate_hz
        wave = clip.wave
        if wave:
            first, count = (round(value * wave.sample_rate_hz) for value in (began, self.crop_seconds))
            wave = Waveform.of(wave.samples[:, first : first + count], wave.sample_rate_hz)
        start = torch.tensor([round(began * self.acoustic_rate_hz)])
        pitch = clip.pitch.slice(start, self.target_frames) if clip.pitch else None
        target = clip.target.slice(start, self.target_frames) if clip.target else None
        teacher_frames = (
            clip.teacher_frames.slice(torch.tensor([frame]), self.crop_frames) if clip.teacher_frames else None
        )
        return replace(
            clip, seconds=self.crop_seconds, wave=wave, pitch=pitch, target=target, teacher_frames=teacher_frames
        )

    def _mate(self, clip: _Clip, which: float) -> _Clip | None:
        """A clip by the same speaker, where the voice is heard elsewhere than in the excerpt."""
        if not self.features.signals:
            return None
        if not self.features.wholly_frozen and not self.features.model.speakers_by_mels:
            return None  # another pass through the backbone
        own = self.of_speaker[clip.speaker]
        return self.clips[own[int(which * len(own))]]

    def _reference(self, heard: Frames | None, where: float) -> Frames | None:
        """Some excerpt of content or mels."""
        if heard is None:
            return None
        by_mels = self.features.model.speakers_by_mels
        rate_hz = self.acoustic_rate_hz if by_mels else self.content_rate_hz
        count = min(round(REFERENCE_SECONDS * rate_hz) or 1, int(heard.lengths[0]))
        start = int(where * (int(heard.lengths[0]) - count + 1))
        return heard.slice(torch.tensor([start]), count)

    def _frames(self, heard: Activation | None) -> Frames | None:
        """What was heard, where that is content: after the last stage."""
        return Frames.of(heard.values.float()) if heard and self.features.wholly_frozen else None

    def _batch(self, clips: Sequence[_Clip], references: Sequence[Frames | None]) -> Batch:
        waves = [clip.wave for clip in clips if clip.wave]
        heard = tuple(Activation(clip.heard.values.float(), clip.heard.length) for clip in clips if clip.heard)
        return Batch(
            torch.tensor([clip.speaker for clip in clips]),
            self.features.depth,
            has_unknown_speakers=any(clip.speaker < 0 for clip in clips),
            wave=Waveform.batch(waves) if waves else None,
            activations=heard if heard and not self.features.wholly_frozen else None,
            content=together(self._frames(clip.heard) for clip in clips),
            reference=together(references),
            pitch=together(clip.pitch for clip in clips),
            target=together(clip.target for clip in clips),
            teacher_frames=together(clip.teacher_frames for clip in clips),
            texts=tuple(clip.utterance.text for clip in clips) if self.features.model.text_heads else (),
            labels=torch.tensor([self._label[clip.utterance.label] for clip in clips]) if self._label else None,
        )
