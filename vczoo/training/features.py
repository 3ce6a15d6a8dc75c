"""Utterances in; what training reads of them and never changes, out: activations of the frozen stages, mels, pitch.

Each is made once and kept in a cache on disk; without one the frozen stages run again whenever they are asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache as memo
from pathlib import Path
from typing import Any, TypeVar

import torch

from vczoo.audio.frames import Frames
from vczoo.audio.pitch import TRACKER
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Utterance
from vczoo.io.tensors import fingerprint
from vczoo.models.model import Model
from vczoo.training.activations import Activation, TimeAxis, find_time_axis, in_eval_mode, run_prefix, run_suffix
from vczoo.training.augment import PLAIN, Version, as_heard
from vczoo.training.feature_cache import Cache, Section

__all__ = ["Features", "runs"]

FORMAT = 1  # of what is kept; another is another key
BATCH_SECONDS, BATCH_ITEMS = 40.0, 16  # that the frozen stages run on at once
READERS = 2

T = TypeVar("T")


class Features:
    """What does not change in training.

    Args:
        model: its backbone's frozen stages must stay as they are until `at` is called again.
        describe: plain values that decide, beside the weights, what the stages give: `backbone`, its options, and
            `versions` of what it is made of.
        cache: where it is kept; None keeps nothing but mels and pitch, in memory.
        dtype: that activations are rounded to, whether they are kept or not.
        teacher: those of the backbone that heads of frames learn from, wholly frozen; None without one.
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
        self.depth = -1
        self.time: TimeAxis | None = None
        self._heard: Section | None = None
        spec = model.acoustic_mel.spec if model.acoustic_mel else None
        self.signals = spec is not None and model.reads_mels  # whether training reads mels and pitch
        self._mels = self._section({"mel": asdict(spec)}) if spec else None
        pitched = model.vocoder.accepts if model.vocoder else model.backbone.spec
        self._pitch = self._section({"pitch": TRACKER, "frames": type(pitched).__name__, **asdict(pitched)})
        self._memory: dict[tuple[str, Utterance], Frames] = {}
        self._waves: dict[Utterance, Waveform] = {}
        self._file: tuple[Path, Waveform] | None = None
        self._digest: Callable[[Path], str] = memo(_digest)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.model.parameters()).device

    def at(self, depth: int) -> None:
        """From now on, `depth` stages are frozen."""
        if depth == self.depth:
            return
        if self._heard:  # of another depth, or other weights: it makes room
            self._heard.close()
        self.depth, self.time = depth, find_time_axis(self.model.backbone, depth)
        stages = self.model.backbone.stages()
        key = {
            "backbone": self.describe.get("backbone"),
            "depth": depth,
            "stages": [fingerprint(stage.module.state_dict()) for stage in stages[:depth]] if self.cache else [],
            "spec": asdict(self.model.backbone.spec),
            "dtype": str(self.dtype),
            "device": self.device.type,  # whose convolutions may round as another's do not
        }
        self._heard = self._section(key)

    def renew(self) -> None:
        """Look at the weights again: the frozen stages may have changed."""
        depth, self.depth = self.depth, -1
        self.at(depth)

    @property
    def wholly_frozen(self) -> bool:
        """Whether activations are content: no stage is left."""
        return self.depth == len(self.model.backbone.stages())

    @property
    def full(self) -> bool:
        """Whether the cache had no room for something, or for something of the teacher's."""
        own = any(section.full for section in (self._heard, self._mels, self._pitch) if section)
        return own or bool(self.teacher and self.teacher.full)

    def missing(self, utterances: Iterable[Utterance], versions: Sequence[Version]) -> list[tuple[Utterance, Version]]:
        """What is not kept yet, of all that would be."""
        if self._heard is None or self._heard.full:
            return []
        return [(u, version) for u in utterances for version in versions if self._name(u, version) not in self._heard]

    def fill(self, wanted: Iterable[tuple[Utterance, Version]]) -> Iterator[int]:
        """Make and keep activations, in batches of like length, until all are there or the cache is full.

        Yields:
            How many are done.
        """
        done = 0
        for batch in runs(sorted(wanted, key=_seconds), _seconds):
            self._make(batch)
            done += len(batch)
            yield done
            if self._heard and self._heard.full:
                break
        self.flush()

    def flush(self) -> None:
        """Write to disk what was made."""
        if self.teacher:
            self.teacher.flush()
        for section in (self._heard, self._mels, self._pitch):
            if section:
                section.flush()

    def refresh(self) -> None:
        """Take in what other processes have made meanwhile."""
        if self.teacher:
            self.teacher.refresh()
        for section in (self._heard, self._mels, self._pitch):
            if section:
                section.refresh()

    def activations(self, wanted: Sequence[tuple[Utterance, Version]]) -> list[Activation]:
        """What stands before stage `depth`, of each recording as heard in a version; on the CPU, in `dtype`."""
        found = {pair: kept for pair in set(wanted) if (kept := self._kept(*pair))}
        absent = [pair for pair in dict.fromkeys(wanted) if pair not in found]
        for batch in runs(absent, _seconds):
            found |= zip(batch, self._make(batch), strict=True)
        return [found[pair] for pair in wanted]

    def content(self, utterances: Sequence[Utterance]) -> list[Frames]:
        """The whole recordings as the backbone hears them now, (1, T, C) each, on the model's device."""
        found = []
        for run in runs(utterances, lambda utterance: utterance.seconds):
            items = self.activations([(utterance, PLAIN) for utterance in run])
            moved = [Activation(item.values.to(self.device).float(), item.length) for item in items]
            frames = run_suffix(self.model.backbone, moved, self.depth)
            found += [frames[index] for index in range(len(run))]
        return found

    def teacher_frames(self, utterances: Sequence[Utterance]) -> list[Frames | None]:
        """What the teacher hears in whole recordings at the times of this backbone's frames: (1, T, C), on the CPU."""
        if self.teacher is None:
            return [None] * len(utterances)
        own, other = self.model.backbone, self.teacher.model.backbone
        found: list[Frames | None] = []
        for utterance, item in zip(
            utterances, self.teacher.activations([(utterance, PLAIN) for utterance in utterances]), strict=True
        ):
            count = own.num_frames(round(utterance.seconds * own.spec.sample_rate_hz))
            ratio = other.spec.frame_rate_hz / own.spec.frame_rate_hz
            found.append(Frames.of(item.values.float()).resize(torch.tensor([count]), ratio))
        return found

    def acoustic(self, utterance: Utterance, wave: Waveform | None = None) -> Frames:
        """The recording as the vocoder reads it: (1, T', acoustic channels), on the CPU; for vocoders of mels.

        It is read unless it is given.
        """
        mel = self.model.acoustic_mel
        assert mel is not None
        return self._signal("mel", self._mels, utterance, wave, lambda heard: mel(heard.to(self.device)).to("cpu"))

    def pitch(self, utterance: Utterance, wave: Waveform | None = None) -> Frames:
        """(1, T', 2), on the CPU; the recording is read unless it is given."""
        return self._signal("pitch", self._pitch, utterance, wave, self.model.pitch)

    def wave(self, utterance: Utterance) -> Waveform:
        """The recording at the model's rate: (1, S). It stays in memory where it will be read again."""
        known = self._waves.get(utterance)
        if known is None:
            file = self._file  # parts of a long recording follow each other
            if file is None or file[0] != utterance.path:
                self._file = file = (utterance.path, Waveform.read(utterance.path, self.model.sample_rate_hz))
            known = file[1]
            if known.seconds > utterance.seconds + 1.0:
                first, count = (round(s * known.sample_rate_hz) for s in (utterance.first_second, utterance.seconds))
                known = Waveform.of(known.samples[:, first : first + count], known.sample_rate_hz)
            if self.time is None or self._heard is None or self._heard.full:
                self._waves[utterance] = known
        return known

    def _section(self, key: Mapping[str, Any]) -> Section | None:
        common = {"format": FORMAT, "rate": self.model.sample_rate_hz, "versions": self.describe.get("versions")}
        return self.cache.section({**common, **key}) if self.cache else None

    def _name(self, utterance: Utterance, version: Version = PLAIN) -> str:
        return f"{self._place(utterance)}@{version.speed}v{version.variant}"

    def _place(self, utterance: Utterance) -> str:
        return f"{self._digest(utterance.path)}:{utterance.first_second:.6f}+{utterance.seconds:.6f}"

    def _kept(self, utterance: Utterance, version: Version) -> Activation | None:
        name = self._name(utterance, version) if self._heard else ""
        if self._heard is None or name not in self._heard:
            return None
        return Activation(self._heard[name], int(self._heard[f"{name}#"]))

    @torch.inference_mode()
    def _make(self, batch: Sequence[tuple[Utterance, Version]]) -> list[Activation]:
        """Run the frozen stages on recordings, and keep what they give."""
        with ThreadPoolExecutor(READERS) as pool:
            plain = list(pool.map(self.wave, (utterance for utterance, _ in batch)))
        backbone, rate = self.model.backbone, self.model.backbone.spec.sample_rate_hz
        waves = [
            as_heard(wave, version).to(self.device).resample(rate)
            for wave, (_, version) in zip(plain, batch, strict=True)
        ]
        with in_eval_mode(stage.module for stage in backbone.stages()[: self.depth]):
            made = run_prefix(backbone, waves, self.depth)
        kept = []
        for item, wave, (utterance, version) in zip(made, plain, batch, strict=True):
            if version.speed != 1.0:
                count = backbone.num_frames(wave.resample(rate).samples.shape[1])
                frames = Frames.of(item.values).resize(torch.tensor([count], device=self.device), 1 / version.speed)
                item = Activation(frames.values, count)
            values = item.values.to("cpu", self.dtype, copy=True)
            if not bool(values.isfinite().all()):
                values = item.values.to("cpu", copy=True)  # beyond what 16 bits hold
            if self._heard is not None:
                name = self._name(utterance, version)
                self._heard.add({name: values, f"{name}#": torch.tensor(item.length)})
            kept.append(Activation(values, item.length))
            if self.signals and version == PLAIN:  # while the recording is decoded
                self.acoustic(utterance, wave)
                self.pitch(utterance, wave)
        return kept

    def _signal(
        self,
        what: str,
        section: Section | None,
        utterance: Utterance,
        wave: Waveform | None,
        make: Callable[[Waveform], Frames],
    ) -> Frames:
        name = self._place(utterance) if section else ""
        if section is not None and name in section:
            return Frames.of(section[name])
        known = self._memory.get((what, utterance))
        if known is None:
            with torch.inference_mode():
                known = make(wave or self.wave(utterance))
            if section is not None:
                section.add({name: known.values})
            if section is None or section.full:
                self._memory[what, utterance] = known
        return known


def runs(items: Iterable[T], seconds: Callable[[T], float]) -> Iterator[list[T]]:
    """Items that follow each other, in lists of a bounded number and duration, which are run on at once."""
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


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
