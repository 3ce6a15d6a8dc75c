"""A converter and bad recordings in; whether it stands them, and how what comes out sounds, out.

Each kind of input is converted into an enrolled voice, and a voice is enrolled from it that clean speech is then
converted into. Similarity is to the target: to whose voice was asked for, or, where the input is no longer the
speaker's voice, to the recordings that were enrolled. Words are counted against the transcript of the clean source.
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
from benchmarks.robustness.degradations import DAMAGES, recorded, spoken, strings
from vczoo.evaluation.measurement_cache import RATE_HZ, MeasurementCache
from vczoo.evaluation.metrics.verification import centroid
from vczoo.evaluation.metrics.word_errors import count_errors

SHOWN = 3  # recordings that a voice is enrolled from
GUEST = "guest"  # what the voice that is enrolled from a bad input is called


@dataclass(frozen=True)
class Case:
    """One recording of a kind of input, and what is to be done with it.

    Attributes:
        source: to convert.
        clean: what it was made of; itself where it was recorded so.
        voice: enrolled already, into which it is converted.
        shown: of that kind, a voice's, to enrol.
        like: whose voice should come out then.
        said: clean, to convert into that voice.
    """

    source: Path
    clean: Path
    voice: str
    shown: Sequence[Path]
    like: Sequence[Path]
    said: Path


@dataclass(frozen=True)
class Kind:
    """A kind of input; see `Damage`."""

    name: str
    cases: Sequence[Case]
    speech: bool = True
    words: bool = True
    in_memory: bool = False


@dataclass
class Tally:
    """What became of a kind's recordings in one of the two parts."""

    outcomes: list[str] = field(default_factory=list)
    similarity: list[float] = field(default_factory=list)
    dnsmos: list[float] = field(default_factory=list)
    wrong: int = 0
    words: int = 0

    def plain(self) -> dict[str, Any]:
        """As it is written down."""
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
    """A sentence of each speaker, each into the next one's voice."""
    after = dict(zip(bench.voices, [*bench.voices[1:], bench.voices[0]], strict=True))
    found: dict[str, vczoo.Trial] = {}
    for trial in bench.trials:
        if after[trial.source_speaker] == trial.voice:
            found.setdefault(trial.source_speaker, trial)
    return list(found.values())


def kinds(bench: Bench, folder: Path, digits: Path | None, language: Path | None) -> Iterator[Kind]:
    """Every kind of input, made when it is its turn."""
    trials = ring(bench)
    for number, (name, damage) in enumerate(DAMAGES.items()):
        place = folder / f"{number:02}"
        cases = []
        for trial in trials:
            real = bench.references.matching[trial.voice][:SHOWN]
            shown = [damage.write(path, place / f"{path.stem}.wav") for path in real]
            source = damage.write(trial.source, place / f"{trial.source.stem}.wav")
            like = shown if damage.other_voice else bench.references.matching[trial.voice]
            cases.append(Case(source, trial.source, trial.voice, shown, like, trial.source))
        yield Kind(name, cases, damage.speech, damage.speech, damage.in_memory)
    each = SHOWN + 1
    if digits:
        yield of_others("telephone, recorded", strings(digits, folder / "digits", len(trials), each), trials)
    try:
        # An English recogniser hears no words in another language.
        name = f"another language, {'recorded' if language else 'synthetic'}"
        make: Callable[..., list[list[Path]]] = recorded if language else spoken
        yield of_others(name, make(language or folder / "language", len(trials), each), trials, words=False)
    except vczoo.VczooError as error:
        print(f"no row of another language: {error}")


def of_others(name: str, groups: Sequence[Sequence[Path]], trials: Sequence[vczoo.Trial], words: bool = True) -> Kind:
    """Recordings of other people, the first of each to convert and the rest to enrol."""
    cases = [
        Case(source, source, trial.voice, shown, shown, trial.source)
        for (source, *shown), trial in zip(groups, trials, strict=True)
    ]
    return Kind(name, cases, words=words)


def measure(
    converter: vczoo.Converter, bench: Bench, measures: vczoo.Measures, every: Iterator[Kind]
) -> list[dict[str, Any]]:
    """A row for each kind: what came in, what a conversion of it is, and one into a voice enrolled from it."""
    bench.enrolled(converter)
    material = MeasurementCache(bench.trials, bench.references, measures)
    rows = []
    for kind in every:
        given, converted, enrolled = Tally(), Tally(), Tally()
        for case in kind.cases:
            source = in_memory(case.source) if kind.in_memory else case.source
            if kind.speech:
                judge(given, material, vczoo.Waveform.read(case.source), case.clean if kind.words else None)
            made = attempt(converted, case.source, lambda c=case, s=source: converter.convert(s, c.voice))
            if made is not None and kind.speech:
                target = material.centroid(case.voice)
                judge(converted, material, made, case.clean if kind.words else None, target)
            shown = [in_memory(path) for path in case.shown] if kind.in_memory else list(case.shown)
            made = attempt(enrolled, case.said, lambda c=case, s=shown: as_guest(converter, s, c.said))
            if made is not None and kind.speech:
                like = np.stack([material.embedding(material.at_rate(path)) for path in case.like])
                judge(enrolled, material, made, case.said, centroid(like))
        row = {"input": kind.name, "given": given.plain(), "convert": converted.plain(), "enroll": enrolled.plain()}
        rows.append(row)
        print("  ".join(text for text in text_of(row).values() if text), flush=True)
    return rows


def in_memory(path: Path) -> vczoo.Waveform:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    return vczoo.Waveform.of(torch.from_numpy(samples), rate_hz)


def as_guest(converter: vczoo.Converter, shown: Sequence[Any], source: Path) -> vczoo.Waveform:
    """Enrol, and convert clean speech into that voice."""
    converter.enroll(GUEST, shown, overwrite=GUEST in converter.voices)
    return converter.convert(source, GUEST)


def attempt(tally: Tally, source: Path, make: Callable[[], vczoo.Waveform]) -> vczoo.Waveform | None:
    """Convert; a refusal that says why, a crash and a faulty waveform are told apart, and None is what they give."""
    try:
        made = make()
    except vczoo.VczooError as error:
        tally.outcomes.append(f"refused: {re.sub(r'/[^:]*: ', '', str(error))[:100]}")
        return None
    except Exception as error:  # what a crash is, whatever its kind
        tally.outcomes.append(f"CRASH: {type(error).__name__}: {error}"[:160])
        return None
    tally.outcomes.append(fault_of(made, source) or "ok")
    return made if tally.outcomes[-1] == "ok" else None


def fault_of(made: vczoo.Waveform, source: Path) -> str:
    """What is wrong with a conversion as such; empty where nothing is."""
    info = soundfile.info(source)
    wanted = math.ceil(info.frames * made.sample_rate_hz / info.samplerate)
    if not bool(torch.isfinite(made.samples).all()):
        return "NOT FINITE"
    if abs(made.samples.shape[1] - wanted) > 1:
        return f"WRONG LENGTH: {made.samples.shape[1]} samples for {wanted}"
    return ""


def judge(
    tally: Tally, material: MeasurementCache, wave: vczoo.Waveform, clean: Path | None, target: Any = None
) -> None:
    """Add what is measured of a recording: its words where the clean one is known, and whose voice it is."""
    heard = wave.resample(RATE_HZ)
    if target is not None:
        tally.similarity.append(float(material.embedding(heard) @ target))
    if opinion := material.opinion(heard):
        tally.dnsmos.append(opinion.overall)
    if clean is not None and material.measures.recognisers:
        said = material.transcript(0, material.at_rate(clean))
        errors = count_errors(said, material.transcript(0, heard))
        tally.wrong, tally.words = tally.wrong + errors.words, tally.words + errors.of_words


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def text_of(row: Mapping[str, Any]) -> dict[str, str]:
    """A row as it is printed."""

    def said(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    given, converted, enrolled = row["given"], row["convert"], row["enroll"]
    texts = {"input": row["input"], "WER before": said(given["wer"]), "DNSMOS before": said(given["dnsmos"])}
    for title, short, own in (("converted", "conv.", converted), ("enrolled", "enr.", enrolled)):
        texts[title] = f"{own['converted']}/{own['of']}"
        titles = {"similarity": "similarity", "wer": "WER", "dnsmos": "DNSMOS"}
        texts |= {f"{short} {shown}": said(own[name]) for name, shown in titles.items()}
    faults = sorted({*converted["faults"], *enrolled["faults"]})
    return {**texts, "faults": " | ".join(fault[:40] for fault in faults)}
