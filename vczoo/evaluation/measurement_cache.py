"""A trial list, real speech and waveforms in; what the models hear in them out, each recording heard once.

A source stands in a trial list once for each target, and is its own transcript's reference: what a model gave for
some samples is kept, by their content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vczoo.audio.waveform import Waveform
from vczoo.evaluation.measures import Measures
from vczoo.evaluation.metrics.f0_contour import f0_contour
from vczoo.evaluation.metrics.naturalness import Opinion
from vczoo.evaluation.metrics.verification import centroid
from vczoo.evaluation.metrics.word_errors import Errors, count_errors
from vczoo.evaluation.references import References
from vczoo.evaluation.trials import Trial

__all__ = ["RATE_HZ", "MeasurementCache"]

T = TypeVar("T")

RATE_HZ = 16000  # every measure reads this rate, so that no system gains by another


class MeasurementCache:
    """What is to be measured, and the ears that hear it.

    Args:
        trials: that will be measured.
        references: real speech of the voices, and of source speakers if there is some.
        measures: the models that measure.
    """

    def __init__(self, trials: Sequence[Trial], references: References, measures: Measures) -> None:
        self.trials, self.references, self.measures = tuple(trials), references, measures
        # Caches of this object, not of its class: another evaluation has other models.
        self.read: Callable[[Path], Waveform] = cache(Waveform.read)
        self.embeddings: Callable[[str], NDArray[np.float64]] = cache(self._embeddings)
        self._heard: dict[tuple[str, bytes], Any] = {}

    @property
    def voices(self) -> tuple[str, ...]:
        """The targets, sorted."""
        return tuple(sorted({trial.voice for trial in self.trials}))

    def at_rate(self, path: Path) -> Waveform:
        """A recording at the rate of the measures: (1, S).

        Raises:
            AudioError: it cannot be read.
        """
        return self.read(path).resample(RATE_HZ)

    def centroid(self, speaker: str) -> NDArray[np.float64]:
        """(E,), the mean embedding of a speaker's real recordings, of length 1."""
        return centroid(self.embeddings(speaker))

    def embedding(self, wave: Waveform) -> NDArray[np.float64]:
        """(1, S) -> (E,), of length 1."""
        return self._once("speaker", wave, lambda: self.measures.speaker.embed([wave])[0])

    def contour(self, wave: Waveform) -> NDArray[np.float64]:
        """(1, S) -> (T,) F0 in Hz."""
        return self._once("contour", wave, lambda: f0_contour(wave))

    def opinion(self, wave: Waveform) -> Opinion | None:
        """(1, S) -> what listeners would say; None where that is not measured."""
        rater = self.measures.rater
        return self._once("opinion", wave, lambda: rater.rate(wave)) if rater else None

    def transcript(self, recogniser: int, wave: Waveform) -> str:
        """(1, S) -> what one of the recognisers hears."""
        return self._once(f"asr {recogniser}", wave, lambda: self.measures.recognisers[recogniser].transcribe(wave))

    def errors(self, recogniser: int, wave: Waveform, trials: Sequence[Trial]) -> dict[str, Any]:
        """What a recogniser hears, and how wrong that is against what each trial's source says."""
        heard = self.transcript(recogniser, wave)
        said = [trial.text or self.transcript(recogniser, self.at_rate(trial.source)) for trial in trials]
        counts: list[Errors] = [count_errors(text, heard) for text in said]
        return {
            "said": said[0],
            "heard": heard,
            "word_errors": sum(count.words for count in counts),
            "words": sum(count.of_words for count in counts),
            "character_errors": sum(count.characters for count in counts),
            "characters": sum(count.of_characters for count in counts),
        }

    def held_out(self) -> dict[Path, tuple[Trial, ...]]:
        """Real speech of the targets that no system was shown, with the trials that each serves.

        The parallel recordings of the trials come first; then what the references hold out.
        """
        serves: dict[Path, tuple[Trial, ...]] = {}
        for trial in self.trials:
            if trial.parallel:
                serves[trial.parallel] = (*serves.get(trial.parallel, ()), trial)
        for voice in self.voices:
            own = tuple(trial for trial in self.trials if trial.voice == voice)
            for path in self.references.held_out.get(voice, ()):
                serves.setdefault(path, own)
        return serves

    def spoken(self) -> str:
        """What words are counted against, for the table."""
        given, own = sum(bool(trial.text) for trial in self.trials), "the ASR's own transcript of the source"
        if given == len(self.trials):
            return "transcripts"
        return f"transcripts ({given} trials) and {own} ({len(self.trials) - given})" if given else own

    def _embeddings(self, speaker: str) -> NDArray[np.float64]:
        """(N, E) of a speaker's matching set, or without one of his or her sources in the trials."""
        sources = sorted({trial.source for trial in self.trials if trial.source_speaker == speaker})
        paths = self.references.matching.get(speaker) or sources
        return np.stack([self.embedding(self.at_rate(path)) for path in paths])

    def _once(self, what: str, wave: Waveform, hear: Callable[[], T]) -> T:
        samples = wave.samples.detach().cpu().contiguous().numpy()
        key = (f"{what} {wave.sample_rate_hz}", hashlib.sha256(samples.data).digest())
        if key not in self._heard:
            self._heard[key] = hear()
        heard: T = self._heard[key]
        return heard
