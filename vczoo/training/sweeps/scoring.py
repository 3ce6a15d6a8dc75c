"""A corpus in, the trial list that every cell of a sweep is measured on, out; a run in, its similarity out."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from vczoo.conversion.converter import Converter
from vczoo.data.corpus import Corpus, Utterance
from vczoo.evaluation.leakage import leakage_notes
from vczoo.evaluation.measures import load_measures
from vczoo.evaluation.references import read_references
from vczoo.evaluation.scorer import Evaluation
from vczoo.evaluation.trials import read_trials
from vczoo.io.files import write_text

__all__ = ["REFERENCES", "TRIALS", "SimilarityScorer", "write_trials"]

TRIALS, REFERENCES = "trials.csv", "references.csv"
SOURCES = 4  # held-out recordings that are converted into each voice
MOST_TRIALS = 96
REFERENCE_SECONDS = 60.0  # of each voice: more would move its centroid little, and are heard again for every cell


def write_trials(corpus: Corpus, folder: Path) -> int:
    """Write the lists that every cell is measured on: held-out speech of others into each voice.

    Sources are of the test split, up to four a voice; who was taken least is next. References are a minute of each
    speaker's recordings for training and validation, whatever a cell is trained on, and the test split.

    Returns:
        How many trials; 0 where nobody else's speech is held out, and nothing is written.

    Raises:
        OSError: the disk refuses.
    """
    voices = list(corpus.training_seconds())
    tested = corpus.split("test")
    each = max(1, min(SOURCES, MOST_TRIALS // max(1, len(voices))))
    used: Counter[Hashable] = Counter()
    pairs: list[tuple[Utterance, str]] = []
    for _ in range(each):
        for voice in voices[:MOST_TRIALS]:
            free = [u for u in tested if u.speaker != voice and (u, voice) not in pairs]
            if free:
                source = min(free, key=lambda u: (used[u.speaker, voice], used[u.path], used[u.speaker], str(u.path)))
                used.update([(source.speaker, voice), source.path, source.speaker])
                pairs.append((source, voice))
    if not pairs:
        return 0
    rows = [(str(u.path), u.speaker, voice) for u, voice in sorted(pairs, key=lambda p: (p[1], str(p[0].path)))]
    _write(folder / TRIALS, ("source", "source_speaker", "voice"), rows)
    concerned = {*(u.speaker for u, _ in pairs), *(voice for _, voice in pairs)}
    real: list[tuple[str, str, str]] = []
    for speaker in sorted(concerned):
        left = REFERENCE_SECONDS
        for utterance in corpus.of_speaker(speaker):
            if utterance.split == "test" or left > 0:
                real.append((str(utterance.path), speaker, utterance.split))
                left -= 0 if utterance.split == "test" else utterance.seconds
    _write(folder / REFERENCES, ("path", "speaker", "split"), real)
    return len(pairs)


class SimilarityScorer:
    """Ears and real speech, loaded and heard once for however many runs.

    Args:
        lists: the folder that `write_trials` wrote into.

    Raises:
        CorpusError: something of the lists has gone.
        PluginError: the speaker model is not installed.
    """

    def __init__(self, lists: Path) -> None:
        references = read_references(lists / REFERENCES)
        measures = load_measures(asr=(), naturalness=False)
        self.evaluation = Evaluation(read_trials(lists / TRIALS, references=references), references, measures)

    def figures(self, converter: Converter) -> tuple[dict[str, float], list[str]]:
        """Convert the trials with a run, as `vczoo evaluate` would, and measure them.

        Returns:
            The figures of `vczoo.Scores` but for those of an ASR, and what must be said of them.

        Raises:
            VczooError: the recipe uses the speaker model itself.
        """
        notes = leakage_notes(converter.recipe, self.evaluation.measures)
        made = self.evaluation.convert(lambda trial, source: converter.convert(source, trial.voice))
        scores = self.evaluation.score(converter.recipe.name, made)
        return {name: round(value.value, 6) for name, value in scores.figures.items()}, list(notes)

    def yardsticks(self) -> dict[str, float]:
        """Similarity to read that of runs by: of `unconverted` sources, and of `real` speech if some is held out."""
        rows: dict[str, Any] = {"unconverted": self.evaluation.floor(), "real": self.evaluation.real_target()}
        return {name: round(one.figures["similarity_to_target"].value, 6) for name, one in rows.items() if one}


def _write(path: Path, header: tuple[str, ...], rows: list[tuple[str, str, str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())
