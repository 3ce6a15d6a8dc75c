"""Scoring of voice conversion systems on a trial list.

    evaluation = Evaluation(trials, references, load_measures())
    conversion = evaluation.convert(lambda trial, source: converter.convert(source, trial.voice))
    report = Report((evaluation.floor(), evaluation.score("mine", conversion)))

Measuring models are loaded once, and whatever does not depend on a system is measured once. This module knows nothing
of recipes or runs: a system is any function of a trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vczoo.audio.waveform import Waveform
from vczoo.evaluation.measurement_cache import RATE_HZ, MeasurementCache
from vczoo.evaluation.measures import MEANS, STANDARD_METRICS, Measures, load_metric, measure
from vczoo.evaluation.metrics.bootstrap import Figure, figure, stratified
from vczoo.evaluation.metrics.verification import equal_error_rate, genuine_scores
from vczoo.evaluation.references import References
from vczoo.evaluation.report import Role, Scores
from vczoo.evaluation.trials import Trial
from vczoo.modules.interfaces.metric import Case

__all__ = ["FEWEST_FOR_EER", "Conversion", "Evaluation"]

FEWEST_FOR_EER = 3  # real recordings of a target; fewer give no distribution of genuine pairs


@dataclass(frozen=True, repr=False)
class Conversion:
    """The converted waveforms of one system.

    Attributes:
        waves: Waveforms (1, S) of any rate, one per trial.
        seconds: Seconds that each conversion took to compute; empty if this was not measured.
    """

    waves: tuple[Waveform, ...]
    seconds: tuple[float, ...] = ()

    def __repr__(self) -> str:
        return f"<Conversion: {len(self.waves)} recordings>"


@dataclass(frozen=True)
class _Item:
    """A recording to score, and the trials that it belongs to: one, or several for real speech."""

    wave: Waveform
    trials: tuple[Trial, ...]
    seconds: float | None = None
    same_text: bool = True  # as the trials' source
    converted: bool = True


class Evaluation:
    """Scores voice conversion systems on one trial list.

    Args:
        trials: Trials, at least one, as `read_trials` returns them.
        references: Real speech of every voice in the trials and, if available, of the source speakers.
        measures: Measuring models, from `load_measures`.
        seed: Seed of the bootstrap resampling.
        say: Function that is called with a status line before each long step.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        references: References,
        measures: Measures,
        *,
        seed: int = 0,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.material = MeasurementCache(trials, references, measures)
        self.trials, self.measures, self.seed, self.say = self.material.trials, measures, seed, say
        self.standard = {name: load_metric(name) for name in STANDARD_METRICS}

    @property
    def sources(self) -> tuple[Waveform, ...]:
        """The source waveform (1, S) of each trial, at its own rate.

        Raises:
            AudioError: A source cannot be read.
        """
        return tuple(self.material.read(trial.source) for trial in self.trials)

    def convert(self, make: Callable[[Trial, Waveform], Waveform]) -> Conversion:
        """Convert every trial and measure the time of each.

        The first trial is converted twice, because a first call also loads and warms up.

        Args:
            make: Function that converts the source waveform (1, S) of a trial into the trial's voice.

        Returns:
            The converted waveforms, on the CPU, with their times.

        Raises:
            AudioError: A source cannot be read.
        """
        make(self.trials[0], self.sources[0])
        waves, seconds = [], []
        for trial, source in zip(self.trials, self.sources, strict=True):
            start = time.perf_counter()
            waves.append(make(trial, source).to("cpu"))
            seconds.append(time.perf_counter() - start)
        return Conversion(tuple(waves), tuple(seconds))

    def score(
        self,
        system: str,
        made: Conversion,
        *,
        role: Role = "system",
        finetune_seconds: float | None = None,
        notes: Sequence[str] = (),
    ) -> Scores:
        """Score a system's conversions of the trials.

        Args:
            system: Name of the system in the table.
            made: Converted waveforms, one per trial, in the order of the trials.
            role: Role of the system: floor, ceiling or system.
            finetune_seconds: Seconds that adapting the system to the targets took; None if unknown.
            notes: Sentences to print under the table.
        """
        seconds = made.seconds or (None,) * len(made.waves)
        items = [
            _Item(wave, (trial,), spent) for trial, wave, spent in zip(self.trials, made.waves, seconds, strict=True)
        ]
        return self._score(system, role, items, finetune_seconds, notes)

    def floor(self) -> Scores:
        """Score the unconverted sources: the result of a system that does nothing."""
        return self.score("unconverted source", Conversion(self.sources), role="floor")

    def real_target(self) -> Scores | None:
        """Score real speech of the targets that no system was trained on; None if there is none.

        Parallel recordings have the text of a source, so their word errors count; held-out references get none.
        """
        parallel = {trial.parallel for trial in self.trials}
        items = [
            _Item(self.material.read(path), trials, same_text=path in parallel, converted=False)
            for path, trials in self.material.held_out().items()
        ]
        return self._score("real target", "ceiling", items, None, ()) if items else None

    def _score(
        self, system: str, role: Role, items: Sequence[_Item], finetune_seconds: float | None, notes: Sequence[str]
    ) -> Scores:
        self.say(f"measuring {system}: {len(items)} recordings")
        embeddings = np.stack([self.material.embedding(item.wave.resample(RATE_HZ)) for item in items])
        rows = [self._row(item, embedding) for item, embedding in zip(items, embeddings, strict=True)]
        columns = [column for metric in self.measures.metrics.values() for column in metric.columns]
        figures = {name: self._figure([row[name] for row in rows if name in row]) for name in MEANS}
        figures["eer"] = self._equal_error_rate(items, embeddings)
        for number, recogniser in enumerate(self.measures.recognisers):
            counts = [row["asr"][recogniser.name] for row in rows if "asr" in row]
            suffix = f":{recogniser.name}" if number else ""
            for rate, errors, size in (("wer", "word_errors", "words"), ("cer", "character_errors", "characters")):
                figures[rate + suffix] = self._figure([row[errors] for row in counts], [row[size] for row in counts])
        timed = [row for row in rows if "compute_seconds" in row]
        compute_seconds, seconds = [row["compute_seconds"] for row in timed], [row["seconds"] for row in timed]
        figures["real_time_factor"] = self._figure(compute_seconds, seconds)
        for column in columns:
            figures[column.name] = self._figure([row[column.name] for row in rows if column.name in row])
        measured = {name: value for name, value in figures.items() if value is not None}
        headings = {column.name: column.heading for column in columns}
        return Scores(system, role, measured, tuple(rows), finetune_seconds, tuple(notes), headings)

    def _figure(self, amounts: Sequence[float], sizes: Sequence[float] | None = None) -> Figure | None:
        return figure(amounts, sizes, seed=self.seed)

    def _row(self, item: _Item, embedding: NDArray[np.float64]) -> Mapping[str, Any]:
        """Measure one recording; measures that do not apply to it are absent."""
        first, wave, material = item.trials[0], item.wave.resample(RATE_HZ), self.material
        to_target = float(embedding @ material.centroid(first.voice))
        to_source = float(np.mean([embedding @ material.centroid(trial.source_speaker) for trial in item.trials]))
        row: dict[str, Any] = {
            "source": first.source.name,
            "source_speaker": first.source_speaker,
            "voice": first.voice,
            "seconds": wave.seconds,
            "similarity_to_target": to_target,
            "similarity_to_source": to_source,
            "nearer_to_target": float(to_target > to_source),
        }
        if item.seconds is not None:
            row["compute_seconds"] = item.seconds
        if item.same_text and self.measures.recognisers:
            row["asr"] = {
                recogniser.name: material.errors(number, wave, item.trials)
                for number, recogniser in enumerate(self.measures.recognisers)
            }
        case = self._case(item, wave)
        for name, metric in self.standard.items():
            row |= measure(name, metric, case)
        if opinion := material.opinion(wave):
            row |= {f"dnsmos_{name}": value for name, value in vars(opinion).items()}
        for name, metric in self.measures.metrics.items():
            row |= measure(name, metric, case)
        return row

    def _case(self, item: _Item, wave: Waveform) -> Case:
        first = item.trials[0]
        if not item.converted:
            return Case(wave)
        parallel = self.material.at_rate(first.parallel) if first.parallel else None
        return Case(wave, self.material.at_rate(first.source), parallel, first.text)

    def _equal_error_rate(self, items: Sequence[_Item], embeddings: NDArray[np.float64]) -> Figure | None:
        """Average the targets' EERs: pairs of two real recordings against pairs of a conversion and a real one."""
        scores, genuine = [], []
        for voice in self.material.voices:
            of_voice = [index for index, item in enumerate(items) if item.trials[0].voice == voice]
            real = self.material.embeddings(voice)
            if of_voice and len(real) >= FEWEST_FOR_EER:
                scores.append(embeddings[of_voice] @ real.T)
                genuine.append(genuine_scores(real))
        return stratified(scores, lambda i, rows: equal_error_rate(genuine[i], rows.ravel()), seed=self.seed)
