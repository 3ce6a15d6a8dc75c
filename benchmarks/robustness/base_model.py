"""Robustness of the base model to bad recordings: conversions of them, and voices enrolled from them.

Each kind of input is converted into an enrolled voice, and a voice is enrolled from it, into which clean speech is then
converted. Similarity is to the target voice or, where the input is no longer the speaker's voice, to the recordings
that were enrolled. Words are counted against the transcript of the clean source.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

import vczoo
from benchmarks.quality.systems import Bench
from benchmarks.robustness.degradations import BLENDS, DAMAGES, Blend, recorded, spoken, strings
from vczoo.evaluation.measurement_cache import RATE_HZ, MeasurementCache
from vczoo.evaluation.metrics.verification import centroid
from vczoo.evaluation.metrics.word_errors import count_errors

ENROLLED = 3  # recordings per enrolled voice
GUEST = "guest"  # the name of the voice that is enrolled from a bad input


@dataclass(frozen=True)
class Case:
    """One recording of a kind of input, with the conversions to measure.

    Attributes:
        source: The recording to convert.
        clean: The clean recording it was made from; the source itself if it was recorded like this.
        voice: The enrolled voice that it is converted into.
        enroll: Recordings of this kind of one voice, to enroll.
        like: Recordings of the voice that should result.
        said: A clean recording to convert into that voice.
    """

    source: Path
    clean: Path
    voice: str
    enroll: Sequence[Path]
    like: Sequence[Path]
    said: Path


@dataclass(frozen=True)
class Kind:
    """A kind of input; `Damage` explains its flags."""

    name: str
    cases: Sequence[Case]
    speech: bool = True
    words: bool = True
    in_memory: bool = False


@dataclass
class Tally:
    """Outcomes of one kind of input in one of the two parts."""

    outcomes: list[str] = field(default_factory=list)
    similarity: list[float] = field(default_factory=list)
    dnsmos: list[float] = field(default_factory=list)
    wrong: int = 0
    words: int = 0

    def plain(self) -> dict[str, Any]:
        """The outcomes as plain values for JSON."""
        faults = sorted({outcome for outcome in self.outcomes if outcome != "ok"})
        return {
            "converted": self.outcomes.count("ok"),
            "of": len(self.outcomes),
            "faults": faults,
            "similarity": mean(self.similarity),
            "wer": self.wrong / self.words if self.words else None,
            "dnsmos": mean(self.dnsmos),
        }


def ring(bench: Bench) -> list[vczoo.Trial]:
    """One trial per speaker: a sentence, converted into the next speaker's voice."""
    after = dict(zip(bench.voices, [*bench.voices[1:], bench.voices[0]], strict=True))
    first: dict[str, vczoo.Trial] = {}
    for trial in bench.trials:
        if after[trial.source_speaker] == trial.voice:
            first.setdefault(trial.source_speaker, trial)
    return list(first.values())


def kinds(bench: Bench, folder: Path, digits: Path | None, language: Path | None) -> Iterator[Kind]:
    """Every kind of input, each written when it is reached."""
    trials = ring(bench)
    for number, (name, damage) in enumerate(DAMAGES.items()):
        place = folder / f"{number:02}"
        cases = []
        for trial in trials:
            real = bench.references.matching[trial.voice][:ENROLLED]
            degraded = [damage.write(path, place / f"{path.stem}.wav") for path in real]
            source = damage.write(trial.source, place / f"{trial.source.stem}.wav")
            like = degraded if damage.other_voice else bench.references.matching[trial.voice]
            cases.append(Case(source, trial.source, trial.voice, degraded, like, trial.source))
        yield Kind(name, cases, damage.speech, damage.speech, damage.in_memory)
    for number, (name, blend) in enumerate(BLENDS.items()):
        yield of_two(name, blend, bench, trials, folder / f"blend-{number}")
    each = ENROLLED + 1
    if digits:
        yield of_others("telephone, recorded", strings(digits, folder / "digits", len(trials), each), trials)
    try:
        # An English speech recognizer cannot transcribe another language.
        name = f"another language, {'recorded' if language else 'synthetic'}"
        make: Callable[..., list[list[Path]]] = recorded if language else spoken
        yield of_others(name, make(language or folder / "language", len(trials), each), trials, words=False)
    except vczoo.VczooError as error:
        print(f"no row of another language: {error}")


def of_two(name: str, blend: Blend, bench: Bench, trials: Sequence[vczoo.Trial], folder: Path) -> Kind:
    """Recordings of each target, changed together with those of the next one."""
    cases = []
    for trial, other in zip(trials, [*trials[1:], trials[0]], strict=True):
        real, theirs = bench.references.matching[trial.voice], bench.references.matching[other.voice]
        enroll = blend.write(real, theirs, folder / f"{trial.voice}.wav") if blend.enrolled else real[0]
        source = trial.source
        if blend.converted:
            source = blend.write([trial.source], [other.source], folder / f"{trial.source.stem}.wav")
        cases.append(Case(source, trial.source, trial.voice, [enroll], real, trial.source))
    return Kind(name, cases)


def of_others(name: str, groups: Sequence[Sequence[Path]], trials: Sequence[vczoo.Trial], words: bool = True) -> Kind:
    """Recordings of other people: each one's first to convert, the rest to enroll."""
    cases = [
        Case(source, source, trial.voice, enroll, enroll, trial.source)
        for (source, *enroll), trial in zip(groups, trials, strict=True)
    ]
    return Kind(name, cases, words=words)


def measure(
    converter: vczoo.Converter, bench: Bench, measures: vczoo.Measures, every: Iterator[Kind]
) -> list[dict[str, Any]]:
    """One row per kind: the input itself, its conversion, and a conversion into a voice enrolled from it."""
    bench.enrolled(converter)
    material = MeasurementCache(bench.trials, bench.references, measures)
    rows = []
    for kind in every:
        as_given, converted, enrolled = Tally(), Tally(), Tally()
        for case in kind.cases:
            source = in_memory(case.source) if kind.in_memory else case.source
            if kind.speech:
                judge(as_given, material, vczoo.Waveform.read(case.source), case.clean if kind.words else None)
            output = attempt(converted, case.source, lambda c=case, s=source: converter.convert(s, c.voice))
            if output is not None and kind.speech:
                target = material.centroid(case.voice)
                judge(converted, material, output, case.clean if kind.words else None, target)
            voice = [in_memory(path) for path in case.enroll] if kind.in_memory else list(case.enroll)
            output = attempt(enrolled, case.said, lambda c=case, v=voice: as_guest(converter, v, c.said))
            if output is not None and kind.speech:
                like = np.stack([material.embedding(material.at_rate(path)) for path in case.like])
                judge(enrolled, material, output, case.said, centroid(like))
        row = {"input": kind.name, "given": as_given.plain(), "convert": converted.plain(), "enroll": enrolled.plain()}
        rows.append(row)
        print("  ".join(text for text in text_of(row).values() if text), flush=True)
    return rows


def in_memory(path: Path) -> vczoo.Waveform:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    return vczoo.Waveform.of(torch.from_numpy(samples), rate_hz)


def as_guest(converter: vczoo.Converter, recordings: Sequence[Any], source: Path) -> vczoo.Waveform:
    """Enroll recordings as a voice and convert clean speech into it."""
    converter.enroll(GUEST, recordings, overwrite=GUEST in converter.voices)
    return converter.convert(source, GUEST)


def attempt(tally: Tally, source: Path, make: Callable[[], vczoo.Waveform]) -> vczoo.Waveform | None:
    """Convert and note the outcome: ok, refused with a reason, crashed or faulty. Return None unless it is ok."""
    try:
        output = make()
    except vczoo.VczooError as error:
        tally.outcomes.append(f"refused: {re.sub(r'/[^:]*: ', '', str(error))[:100]}")
        return None
    except Exception as error:  # any other exception counts as a crash
        tally.outcomes.append(f"CRASH: {type(error).__name__}: {error}"[:160])
        return None
    tally.outcomes.append(fault_of(output, source) or "ok")
    return output if tally.outcomes[-1] == "ok" else None


def fault_of(output: vczoo.Waveform, source: Path) -> str:
    """The fault of a conversion, whatever it sounds like; empty if it has none."""
    info = soundfile.info(source)
    expected = math.ceil(info.frames * output.sample_rate_hz / info.samplerate)
    if not bool(torch.isfinite(output.samples).all()):
        return "NOT FINITE"
    if abs(output.samples.shape[1] - expected) > 1:
        return f"WRONG LENGTH: {output.samples.shape[1]} samples for {expected}"
    return ""


def judge(
    tally: Tally, material: MeasurementCache, wave: vczoo.Waveform, clean: Path | None, target: Any = None
) -> None:
    """Measure a recording: its similarity to `target` and, against the clean recording, its words."""
    resampled = wave.resample(RATE_HZ)
    if target is not None:
        tally.similarity.append(float(material.embedding(resampled) @ target))
    if opinion := material.opinion(resampled):
        tally.dnsmos.append(opinion.overall)
    if clean is not None and material.measures.recognisers:
        said = material.transcript(0, material.at_rate(clean))
        errors = count_errors(said, material.transcript(0, resampled))
        tally.wrong, tally.words = tally.wrong + errors.words, tally.words + errors.of_words


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def text_of(row: Mapping[str, Any]) -> dict[str, str]:
    """A row as printed."""

    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    as_given, converted, enrolled = row["given"], row["convert"], row["enroll"]
    texts = {"input": row["input"], "WER before": shown(as_given["wer"]), "DNSMOS before": shown(as_given["dnsmos"])}
    for title, short, own in (("converted", "conv.", converted), ("enrolled", "enr.", enrolled)):
        texts[title] = f"{own['converted']}/{own['of']}"
        titles = {"similarity": "similarity", "wer": "WER", "dnsmos": "DNSMOS"}
        texts |= {f"{short} {label}": shown(own[name]) for name, label in titles.items()}
    faults = sorted({*converted["faults"], *enrolled["faults"]})
    return {**texts, "faults": " | ".join(fault[:40] for fault in faults)}
