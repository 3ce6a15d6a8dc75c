"""Recordings and the measuring models' cached outputs for them.

A source occurs once per target in a trial list, and its own transcript is the reference for word errors. Outputs are
therefore cached by the content of the samples, so that each model runs once per recording.
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
from vczoo.evaluation.metrics.naturalness import Opinion
from vczoo.evaluation.metrics.verification import centroid
from vczoo.evaluation.metrics.word_errors import Errors, count_errors, load_normalizer
from vczoo.evaluation.references import References
from vczoo.evaluation.trials import Trial

__all__ = ["RATE_HZ", "MeasurementCache"]

T = TypeVar("T")

RATE_HZ = 16000  # every measure reads this rate, so that no system benefits from a higher one


class MeasurementCache:
    """Recordings and the measuring models' cached outputs for them.

    Args:
        trials: Trials to measure.
        references: Real speech of the voices and, if available, of the source speakers.
        measures: Measuring models.
    """

    def __init__(self, trials: Sequence[Trial], references: References, measures: Measures) -> None:
        self.trials, self.references, self.measures = tuple(trials), references, measures
        # These caches belong to the object, not to its class: another evaluation has other models.
        self.read: Callable[[Path], Waveform] = cache(Waveform.read)
        self.embeddings: Callable[[str], NDArray[np.float64]] = cache(self._embeddings)
        self._outputs: dict[tuple[str, bytes], Any] = {}

    @property
    def voices(self) -> tuple[str, ...]:
        """The target voices of the trials, sorted."""
        return tuple(sorted({trial.voice for trial in self.trials}))

    def at_rate(self, path: Path) -> Waveform:
        """Read a recording at the rate of the measures: (1, S).

        Raises:
            AudioError: The recording cannot be read.
        """
        return self.read(path).resample(RATE_HZ)

    def centroid(self, speaker: str) -> NDArray[np.float64]:
        """Return the normalized mean embedding (E,) of a speaker's real recordings."""
        return centroid(self.embeddings(speaker))

    def embedding(self, wave: Waveform) -> NDArray[np.float64]:
        """Return the speaker embedding (E,), of length 1, of a waveform (1, S)."""
        return self._once("speaker", wave, lambda: self.measures.speaker.embed([wave])[0])

    def opinion(self, wave: Waveform) -> Opinion | None:
        """Estimate the mean opinion scores of a waveform (1, S); None if naturalness is not measured."""
        rater = self.measures.rater
        return self._once("opinion", wave, lambda: rater.rate(wave)) if rater else None

    def transcript(self, recogniser: int, wave: Waveform) -> str:
        """Transcribe a waveform (1, S) with one of the recognizers, given by index."""
        return self._once(f"asr {recogniser}", wave, lambda: self.measures.recognisers[recogniser].transcribe(wave))

    def errors(self, recogniser: int, wave: Waveform, trials: Sequence[Trial]) -> dict[str, Any]:
        """Transcribe a waveform and count its errors against the text, or the transcript, of each trial's source."""
        hypothesis = self.transcript(recogniser, wave)
        references = [trial.text or self.transcript(recogniser, self.at_rate(trial.source)) for trial in trials]
        normalizer = load_normalizer(self.measures.normalizer)
        counts: list[Errors] = [count_errors(reference, hypothesis, normalizer) for reference in references]
        return {
            "said": references[0],
            "heard": hypothesis,
            "word_errors": sum(count.words for count in counts),
            "words": sum(count.of_words for count in counts),
            "character_errors": sum(count.characters for count in counts),
            "characters": sum(count.of_characters for count in counts),
        }

    def held_out(self) -> dict[Path, tuple[Trial, ...]]:
        """Return the real recordings of the targets that no system was trained on, with the trials they belong to.

        The trials' parallel recordings come first, followed by the held-out recordings of the references.
        """
        trials_of: dict[Path, tuple[Trial, ...]] = {}
        for trial in self.trials:
            if trial.parallel:
                trials_of[trial.parallel] = (*trials_of.get(trial.parallel, ()), trial)
        for voice in self.voices:
            of_voice = tuple(trial for trial in self.trials if trial.voice == voice)
            for path in self.references.held_out.get(voice, ()):
                trials_of.setdefault(path, of_voice)
        return trials_of

    def spoken(self) -> str:
        """Describe the reference of the word errors, for the table's notes."""
        num_texts, by_asr = sum(bool(trial.text) for trial in self.trials), "the ASR's own transcript of the source"
        if num_texts == len(self.trials):
            return "transcripts"
        others = len(self.trials) - num_texts
        return f"transcripts ({num_texts} trials) and {by_asr} ({others})" if num_texts else by_asr

    def _embeddings(self, speaker: str) -> NDArray[np.float64]:
        """Embed a speaker's matching set or, if there is none, the speaker's sources in the trials: (N, E)."""
        sources = sorted({trial.source for trial in self.trials if trial.source_speaker == speaker})
        paths = self.references.matching.get(speaker) or sources
        return np.stack([self.embedding(self.at_rate(path)) for path in paths])

    def _once(self, measure: str, wave: Waveform, compute: Callable[[], T]) -> T:
        samples = wave.samples.detach().cpu().contiguous().numpy()
        key = (f"{measure} {wave.sample_rate_hz}", hashlib.sha256(samples.data).digest())
        if key not in self._outputs:
            self._outputs[key] = compute()
        output: T = self._outputs[key]
        return output
