"""Trials, real speech and measuring models in; named systems' waveforms in; their scores out.

    evaluation = Evaluation(trials, references, load_measures())
    made = evaluation.convert(lambda trial, source: converter.convert(source, trial.voice))
    report = Report((evaluation.floor(), evaluation.score("mine", made)))

Measuring models are loaded once, and what does not depend on a system is measured once. Nothing here knows recipes
or runs: a system is any function of a trial.
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
from vczoo.evaluation.measures import Measures
from vczoo.evaluation.metrics.bootstrap import Figure, figure, stratified
from vczoo.evaluation.metrics.f0_contour import compare_contours
from vczoo.evaluation.metrics.mel_cepstral_distortion import distortion_db
from vczoo.evaluation.metrics.verification import equal_error_rate, genuine_scores
from vczoo.evaluation.references import References
from vczoo.evaluation.report import Role, Scores
from vczoo.evaluation.trials import Trial

__all__ = ["FEWEST_FOR_EER", "Conversion", "Evaluation"]

FEWEST_FOR_EER = 3  # real recordings of a target; fewer make no distribution of genuine pairs
_MEANS = (
    "similarity_to_target",
    "similarity_to_source",
    "nearer_to_target",
    "f0_correlation",
    "f0_rmse_semitones",
    "mcd_db",
    "dnsmos_overall",
    "dnsmos_signal",
    "dnsmos_background",
)


@dataclass(frozen=True)
class Conversion:
    """What a system made of the trials.

    Attributes:
        waves: (1, S) each, one a trial, of any rate.
        seconds: that each took to compute; empty where it was not measured.
    """

    waves: tuple[Waveform, ...]
    seconds: tuple[float, ...] = ()


@dataclass(frozen=True)
class _Item:
    """A recording to score, and the trials that it stands for: one, or for real speech all that it serves."""

    wave: Waveform
    trials: tuple[Trial, ...]
    seconds: float | None = None
    says_the_same: bool = True
    made: bool = True


class Evaluation:
    """Scores systems on one trial list.

    Args:
        trials: from `read_trials`, checked; at least one.
        references: real speech of every voice in them; of source speakers, too, if there is some.
        measures: the models that measure.
        seed: of the bootstraps.
        say: called with a line before each long step.
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

    @property
    def sources(self) -> tuple[Waveform, ...]:
        """The source of each trial, (1, S) at its own rate.

        Raises:
            AudioError: one cannot be read.
        """
        return tuple(self.material.read(trial.source) for trial in self.trials)

    def convert(self, make: Callable[[Trial, Waveform], Waveform]) -> Conversion:
        """Make every trial's conversion, timed; the first is made twice, since a first call also loads."""
        make(self.trials[0], self.sources[0])
        waves, seconds = [], []
        for trial, source in zip(self.trials, self.sources, strict=True):
            began = time.perf_counter()
            waves.append(make(trial, source).to("cpu"))
            seconds.append(time.perf_counter() - began)
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
        """Score what a system made of the trials.

        Args:
            system: its name in the table.
            made: a waveform a trial, in their order.
            role: of the row.
            finetune_seconds: what adapting it to the targets took.
            notes: that belong under the table.
        """
        seconds = made.seconds or (None,) * len(made.waves)
        items = [
            _Item(wave, (trial,), spent) for trial, wave, spent in zip(self.trials, made.waves, seconds, strict=True)
        ]
        return self._score(system, role, items, finetune_seconds, notes)

    def floor(self) -> Scores:
        """Score the sources as they are: what a system that does nothing gets."""
        return self.score("unconverted source", Conversion(self.sources), role="floor")

    def real_target(self) -> Scores | None:
        """Score real speech of the targets that no system was shown; None where there is none.

        A parallel recording says what a source says and has word errors; what the references hold out has none.
        """
        parallel = {trial.parallel for trial in self.trials}
        items = [
            _Item(self.material.read(path), trials, says_the_same=path in parallel, made=False)
            for path, trials in self.material.held_out().items()
        ]
        return self._score("real target", "ceiling", items, None, ()) if items else None

    def _score(
        self, system: str, role: Role, items: Sequence[_Item], finetune_seconds: float | None, notes: Sequence[str]
    ) -> Scores:
        self.say(f"measuring {system}: {len(items)} recordings")
        embeddings = np.stack([self.material.embedding(item.wave.resample(RATE_HZ)) for item in items])
        rows = [self._row(item, embedding) for item, embedding in zip(items, embeddings, strict=True)]
        figures = {name: self._figure([row[name] for row in rows if name in row]) for name in _MEANS}
        figures["eer"] = self._equal_error_rate(items, embeddings)
        for number, recogniser in enumerate(self.measures.recognisers):
            heard = [row["asr"][recogniser.name] for row in rows if "asr" in row]
            suffix = f":{recogniser.name}" if number else ""
            for rate, wrong, of in (("wer", "word_errors", "words"), ("cer", "character_errors", "characters")):
                figures[rate + suffix] = self._figure([one[wrong] for one in heard], [one[of] for one in heard])
        timed = [row for row in rows if "compute_seconds" in row]
        spent, lasted = [row["compute_seconds"] for row in timed], [row["seconds"] for row in timed]
        figures["real_time_factor"] = self._figure(spent, lasted)
        known = {name: value for name, value in figures.items() if value is not None}
        return Scores(system, role, known, tuple(rows), finetune_seconds, tuple(notes))

    def _figure(self, amounts: Sequence[float], sizes: Sequence[float] | None = None) -> Figure | None:
        return figure(amounts, sizes, seed=self.seed)

    def _row(self, item: _Item, embedding: NDArray[np.float64]) -> Mapping[str, Any]:
        """What is measured of one recording; what does not apply to it is absent."""
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
        if item.says_the_same and self.measures.recognisers:
            row["asr"] = {
                recogniser.name: material.errors(number, wave, item.trials)
                for number, recogniser in enumerate(self.measures.recognisers)
            }
        if item.made:
            contours = compare_contours(material.contour(material.at_rate(first.source)), material.contour(wave))
            row |= {f"f0_{name}": value for name, value in vars(contours).items()} if contours else {}
            if first.parallel:
                row["mcd_db"] = distortion_db(wave, material.at_rate(first.parallel))
        if opinion := material.opinion(wave):
            row |= {f"dnsmos_{name}": value for name, value in vars(opinion).items()}
        return row

    def _equal_error_rate(self, items: Sequence[_Item], embeddings: NDArray[np.float64]) -> Figure | None:
        """Each target's rate, averaged: pairs of real recordings against pairs of a conversion and a real one."""
        scores, genuine = [], []
        for voice in self.material.voices:
            own = [index for index, item in enumerate(items) if item.trials[0].voice == voice]
            real = self.material.embeddings(voice)
            if own and len(real) >= FEWEST_FOR_EER:
                scores.append(embeddings[own] @ real.T)
                genuine.append(genuine_scores(real))
        return stratified(scores, lambda i, rows: equal_error_rate(genuine[i], rows.ravel()), seed=self.seed)
