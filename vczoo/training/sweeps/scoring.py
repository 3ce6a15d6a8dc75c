"""Speaker similarity of a sweep's cells, measured on one trial list for all of them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from vczoo.conversion.converter import Converter
from vczoo.data.corpus import Corpus, Utterance
from vczoo.data.excerpts import read_recording, write_part
from vczoo.evaluation.leakage import leakage_notes
from vczoo.evaluation.measures import load_measures
from vczoo.evaluation.references import read_references
from vczoo.evaluation.scorer import Evaluation
from vczoo.evaluation.trials import read_trials
from vczoo.io.files import write_text

__all__ = ["REFERENCES", "TRIALS", "SimilarityScorer", "write_trials"]

TRIALS, REFERENCES, PARTS = "trials.csv", "references.csv", "parts"
SOURCES = 4  # at most, held-out recordings that are converted into each voice
MOST_TRIALS = 96
REFERENCE_SECONDS = 60.0  # per voice: more would hardly move its centroid, and would be embedded again for every cell


def write_trials(corpus: Corpus, folder: Path) -> int:
    """Write the trial and reference lists: every cell converts held-out speech of other speakers into each voice.

    The sources come from the test split, up to four per voice, starting with the speakers that were used least. The
    references are one minute of each speaker's recordings for training and validation, whatever a cell is trained on,
    and all of the speaker's test recordings.

    Returns:
        The number of trials. If it is 0, because no other speaker has held-out speech, nothing is written.

    Raises:
        OSError, AudioError: The disk cannot be written.
    """
    voices = list(corpus.training_seconds())
    test_utterances = corpus.split("test")
    per_voice = max(1, min(SOURCES, MOST_TRIALS // max(1, len(voices))))
    used: Counter[Hashable] = Counter()
    pairs: list[tuple[Utterance, str]] = []
    for _ in range(per_voice):
        for voice in voices[:MOST_TRIALS]:
            candidates = [u for u in test_utterances if u.speaker != voice and (u, voice) not in pairs]
            if candidates:
                source = min(
                    candidates, key=lambda u: (used[u.speaker, voice], used[u.key], used[u.speaker], str(u.path))
                )
                used.update([(source.speaker, voice), source.key, source.speaker])
                pairs.append((source, voice))
    if not pairs:
        return 0
    rows = [(_file(u, folder), u.speaker, voice) for u, voice in sorted(pairs, key=lambda p: (p[1], p[0].key))]
    _write(folder / TRIALS, ("source", "source_speaker", "voice"), rows)
    evaluated = {*(u.speaker for u, _ in pairs), *(voice for _, voice in pairs)}
    references: list[tuple[str, str, str]] = []
    for speaker in sorted(evaluated):
        seconds_left = REFERENCE_SECONDS
        for utterance in corpus.of_speaker(speaker):
            if utterance.split == "test" or seconds_left > 0:
                references.append((_file(utterance, folder), speaker, utterance.split))
                seconds_left -= 0 if utterance.split == "test" else utterance.seconds
    _write(folder / REFERENCES, ("path", "speaker", "split"), references)
    return len(pairs)


class SimilarityScorer:
    """Measuring models and reference embeddings, shared by all cells of a sweep.

    Args:
        lists: The folder that `write_trials` wrote into.

    Raises:
        CorpusError: A list, or a recording in it, is missing.
        PluginError: The speaker model is not installed.
    """

    def __init__(self, lists: Path) -> None:
        references = read_references(lists / REFERENCES)
        measures = load_measures(asr=(), naturalness=False)
        self.evaluation = Evaluation(read_trials(lists / TRIALS, references=references), references, measures)

    def figures(self, converter: Converter) -> tuple[dict[str, float], list[str]]:
        """Convert the trials with a run, as `vczoo evaluate` would, and measure them.

        Args:
            converter: The run to measure.

        Returns:
            The figures of `vczoo.Scores` except those that need an ASR, and the leakage notes that go with them.

        Raises:
            VczooError: The speaker model is part of the recipe.
        """
        notes = leakage_notes(converter.recipe, self.evaluation.measures)
        conversions = self.evaluation.convert(lambda trial, source: converter.convert(source, trial.voice))
        scores = self.evaluation.score(converter.recipe.name, conversions)
        return {name: round(value.value, 6) for name, value in scores.figures.items()}, list(notes)

    def yardsticks(self) -> dict[str, float]:
        """Reference similarities: of `unconverted` sources, and of `real` speech if some is held out."""
        scores: dict[str, Any] = {"unconverted": self.evaluation.floor(), "real": self.evaluation.real_target()}
        return {name: round(score.figures["similarity_to_target"].value, 6) for name, score in scores.items() if score}


def _file(utterance: Utterance, folder: Path) -> str:
    """The path of an utterance; a part of a recording, or a channel of one, is written as a file of its own."""
    if not utterance.is_part and not utterance.channel:
        return str(utterance.path)
    start, end = utterance.first_second, utterance.first_second + utterance.seconds
    wave = read_recording(utterance.path, utterance.channel)
    return str(write_part(wave, utterance.path, start, end, folder / PARTS))


def _write(path: Path, header: tuple[str, ...], rows: list[tuple[str, str, str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())
