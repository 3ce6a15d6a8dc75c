"""Features of utterances that training reads but never changes: activations of the frozen stages, mels and pitch.

Each is computed once and kept in a cache on disk. Without a cache, the frozen stages run again every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache as memo
from pathlib import Path
from typing import Any, TypeVar

import torch

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Utterance
from vczoo.data.excerpts import UtteranceReader
from vczoo.io.files import sha256_of
from vczoo.io.tensors import fingerprint
from vczoo.models.model import Model
from vczoo.training.features.activations import (
    Activation,
    TimeAxis,
    find_time_axis,
    in_eval_mode,
    run_prefix,
    run_suffix,
)
from vczoo.training.features.augment import PLAIN, Version, as_heard
from vczoo.training.features.cache import Cache, Section

__all__ = ["Features", "runs"]

FORMAT = 1  # of the cached tensors; it is part of every key
BATCH_SECONDS, BATCH_ITEMS = 40.0, 16  # at most, in one batch of the frozen stages
READERS = 2

T = TypeVar("T")


class Features:
    """Features that do not change in training.

    Args:
        model: The model. The frozen stages of its backbone must not change until `at` is called again.
        describe: Plain values that decide, besides the weights, the outputs of the stages: `backbone` with its options,
            and `versions` of its libraries.
        cache: The cache to keep the features in; None keeps only mels and pitch, in memory.
        dtype: The type that activations are rounded to, whether they are cached or not.
        teacher: Features of the frozen backbone that distillation heads learn from; None without a teacher.

    Attributes:
        depth: The number of frozen stages.
        wholly_frozen: Whether all stages are frozen, so that activations are content.
        time: The time axis of the activations; None if they cannot be cut in time.
    """

    def __init__(
        self,
        model: Model,
        describe: Mapping[str, Any],
        cache: Cache | None = None,
        dtype: torch.dtype = torch.float32,
        teacher: Features | None = None,
    ) -> None:
        self.model, self.describe, self.cache, self.dtype, self.teacher = model, dict(describe), cache, dtype, teacher
        self.depth, self.wholly_frozen = -1, False
        self.time: TimeAxis | None = None
        self._activations: Section | None = None
        spec = model.acoustic_mel.spec if model.acoustic_mel else None
        self.mels = spec is not None and (model.reads_mels or model.reads_pitch)  # whether training reads mels
        self.signals = self.mels or model.reads_pitch  # whether it reads pitch, as it does whenever it reads mels
        self._mels = self._section({"mel": asdict(spec)}) if spec else None
        pitched = model.vocoder.accepts if model.vocoder else model.backbone.spec
        self.signals_spec = pitched if self.signals else None
        self._pitch = self._section(
            {"pitch": model.tracker.cache_key, "frames": type(pitched).__name__, **asdict(pitched)}
        )
        self._memory: dict[tuple[str, Utterance], Frames] = {}
        self._waves: dict[Utterance, Waveform] = {}
        self._reader = UtteranceReader(model.sample_rate_hz)
        self._digest: Callable[[Path], str] = memo(sha256_of)
        self._names: dict[tuple[Utterance, Version], str] = {}

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.model.parameters()).device

    def at(self, depth: int) -> None:
        """Set the number of frozen stages."""
        if depth == self.depth:
            return
        if self._activations:  # this section has a different depth or different weights, and may be evicted now
            self._activations.close()
        self.depth, self.time = depth, find_time_axis(self.model.backbone, depth)
        stages = self.model.backbone.stages()
        self.wholly_frozen = depth == len(stages)
        key = {
            "backbone": self.describe.get("backbone"),
            "depth": depth,
            "stages": [fingerprint(stage.module.state_dict()) for stage in stages[:depth]] if self.cache else [],
            "spec": asdict(self.model.backbone.spec),
            "dtype": str(self.dtype),
            "device": self.device.type,  # convolutions may round differently on other devices
        }
        self._activations = self._section(key)

    def renew(self) -> None:
        """Recompute the cache key, because the weights of the frozen stages may have changed."""
        depth, self.depth = self.depth, -1
        self.at(depth)

    @property
    def full(self) -> bool:
        """Whether the cache had no room for some of these features, or of the teacher's."""
        full = any(section.full for section in (self._activations, self._mels, self._pitch) if section)
        return full or bool(self.teacher and self.teacher.full)

    def missing(self, utterances: Iterable[Utterance], versions: Sequence[Version]) -> list[tuple[Utterance, Version]]:
        """The pairs of utterance and version whose activations are not cached yet; none if the cache is full."""
        if self._activations is None or self._activations.full:
            return []
        return [(u, version) for u in utterances for version in versions if not self._cached(u, version)]

    def fill(self, pairs: Iterable[tuple[Utterance, Version]]) -> Iterator[int]:
        """Compute and cache activations, in batches of similar length, until all are done or the cache is full.

        Yields:
            The number of pairs that are done.
        """
        done = 0
        for batch in runs(sorted(pairs, key=_seconds), _seconds):
            self._make(batch)
            done += len(batch)
            yield done
            if self._activations and self._activations.full:
                break
        self.flush()

    def flush(self) -> None:
        """Write new features to disk."""
        if self.teacher:
            self.teacher.flush()
        for section in (self._activations, self._mels, self._pitch):
            if section:
                section.flush()

    def refresh(self) -> None:
        """Load features that other processes have written in the meantime."""
        if self.teacher:
            self.teacher.refresh()
        for section in (self._activations, self._mels, self._pitch):
            if section:
                section.refresh()

    def activations(self, pairs: Sequence[tuple[Utterance, Version]]) -> list[Activation]:
        """The input of stage `depth` for each pair of recording and version, on the CPU, in `dtype`."""
        cached = [self._cached(*pair) for pair in pairs]
        uncached = dict.fromkeys(pair for pair, item in zip(pairs, cached, strict=True) if item is None)
        by_pair: dict[tuple[Utterance, Version], Activation] = {}
        for batch in runs(uncached, _seconds):
            by_pair |= zip(batch, self._make(batch), strict=True)
        return [item or by_pair[pair] for pair, item in zip(pairs, cached, strict=True)]

    def content(self, utterances: Sequence[Utterance]) -> list[Frames]:
        """The backbone's current output for whole recordings, (1, T, C) each, on the model's device."""
        contents = []
        for run in runs(utterances, lambda utterance: utterance.seconds):
            items = self.activations([(utterance, PLAIN) for utterance in run])
            moved = [Activation(item.values.to(self.device).float(), item.length) for item in items]
            frames = run_suffix(self.model.backbone, moved, self.depth)
            contents += [frames[index] for index in range(len(run))]
        return contents

    def teacher_frames(self, utterances: Sequence[Utterance]) -> list[Frames | None]:
        """The teacher's output for whole recordings at the times of this backbone's frames: (1, T, C), on the CPU."""
        if self.teacher is None:
            return [None] * len(utterances)
        backbone, teacher = self.model.backbone, self.teacher.model.backbone
        teacher_frames: list[Frames | None] = []
        for utterance, item in zip(
            utterances, self.teacher.activations([(utterance, PLAIN) for utterance in utterances]), strict=True
        ):
            count = backbone.num_frames(round(utterance.seconds * backbone.spec.sample_rate_hz))
            ratio = teacher.spec.frame_rate_hz / backbone.spec.frame_rate_hz
            teacher_frames.append(Frames.of(item.values.float()).resize(torch.tensor([count]), ratio))
        return teacher_frames

    def acoustic(self, utterance: Utterance, wave: Waveform | None = None) -> Frames:
        """The recording as mels for the vocoder: (1, T', acoustic channels), on the CPU.

        Args:
            utterance: The utterance.
            wave: Its samples, if they are already decoded; otherwise the recording is read.
        """
        mel = self.model.acoustic_mel
        assert mel is not None
        return self._signal("mel", self._mels, utterance, wave, lambda samples: mel(samples.to(self.device)).to("cpu"))

    def pitch(self, utterance: Utterance, wave: Waveform | None = None) -> Frames:
        """The pitch of the recording, (1, T', 2), on the CPU. The recording is read unless `wave` has its samples."""
        return self._signal("pitch", self._pitch, utterance, wave, self.model.pitch)

    def wave(self, utterance: Utterance) -> Waveform:
        """The recording at the model's rate, (1, S). It stays in memory if it will be needed again."""
        wave = self._waves.get(utterance)
        if wave is None:
            wave = self._reader.read(utterance)
            if self.time is None or self._activations is None or self._activations.full:
                self._waves[utterance] = wave
        return wave

    def _section(self, key: Mapping[str, Any]) -> Section | None:
        common = {"format": FORMAT, "rate": self.model.sample_rate_hz, "versions": self.describe.get("versions")}
        return self.cache.section({**common, **key}) if self.cache else None

    def _name(self, utterance: Utterance, version: Version) -> str:
        name = self._names.get((utterance, version))
        if name is None:
            name = f"{self._excerpt_name(utterance)}@{version.speed}v{version.variant}"
            self._names[utterance, version] = name
        return name

    def _excerpt_name(self, utterance: Utterance) -> str:
        place = f"{utterance.channel}{utterance.first_second:.6f}+{utterance.seconds:.6f}"
        return f"{self._digest(utterance.path)}:{place}"

    def _cached(self, utterance: Utterance, version: Version) -> Activation | None:
        if self._activations is None:
            return None
        name = self._name(utterance, version)
        values, length = self._activations.get(name), self._activations.get(f"{name}#")
        return None if values is None or length is None else Activation(values, int(length))

    @torch.inference_mode()
    def _make(self, batch: Sequence[tuple[Utterance, Version]]) -> list[Activation]:
        """Run the frozen stages on recordings, and cache their outputs."""
        with ThreadPoolExecutor(READERS) as pool:
            plain = list(pool.map(self.wave, (utterance for utterance, _ in batch)))
        backbone, rate = self.model.backbone, self.model.backbone.spec.sample_rate_hz
        waves = [
            as_heard(wave, version).to(self.device).resample(rate)
            for wave, (_, version) in zip(plain, batch, strict=True)
        ]
        with in_eval_mode(stage.module for stage in backbone.stages()[: self.depth]):
            outputs = run_prefix(backbone, waves, self.depth)
        activations = []
        for item, wave, (utterance, version) in zip(outputs, plain, batch, strict=True):
            if version.speed != 1.0:
                count = backbone.num_frames(wave.resample(rate).samples.shape[1])
                frames = Frames.of(item.values).resize(torch.tensor([count], device=self.device), 1 / version.speed)
                item = Activation(frames.values, count)
            values = item.values.to("cpu", self.dtype, copy=True)
            if not bool(values.isfinite().all()):
                values = item.values.to("cpu", copy=True)  # values that do not fit into 16 bits
            if self._activations is not None:
                name = self._name(utterance, version)
                self._activations.add({name: values, f"{name}#": torch.tensor(item.length)})
            activations.append(Activation(values, item.length))
            if self.signals and version == PLAIN:  # now, because the recording is already decoded
                if self.mels:
                    self.acoustic(utterance, wave)
                self.pitch(utterance, wave)
        return activations

    def _signal(
        self,
        what: str,
        section: Section | None,
        utterance: Utterance,
        wave: Waveform | None,
        make: Callable[[Waveform], Frames],
    ) -> Frames:
        name = self._excerpt_name(utterance) if section else ""
        cached = section.get(name) if section else None
        if cached is not None:
            return Frames.of(cached)
        frames = self._memory.get((what, utterance))
        if frames is None:
            with torch.inference_mode():
                frames = make(wave or self.wave(utterance))
            if section is not None:
                section.add({name: frames.values})
            if section is None or section.full:
                self._memory[what, utterance] = frames
        return frames


def runs(items: Iterable[T], seconds: Callable[[T], float]) -> Iterator[list[T]]:
    """Split items into batches of consecutive ones, bounded in number and total duration."""
    run: list[T] = []
    total = 0.0
    for item in items:
        if run and (len(run) == BATCH_ITEMS or total + seconds(item) > BATCH_SECONDS):
            yield run
            run, total = [], 0.0
        run.append(item)
        total += seconds(item)
    if run:
        yield run


def _seconds(pair: tuple[Utterance, Version]) -> float:
    return pair[0].seconds
