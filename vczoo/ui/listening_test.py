"""Blind ABX listening tests: trials in random order, answers in a CSV file, and the interval of the score.

A listener hears two conversions of one sentence, A and B, and X, which is one of both. If the score is no better than
chance, the listener cannot distinguish the two systems (Munson and Gardner, "Standardizing Auditory Tests", 1950).
"""

from __future__ import annotations

import csv
import io
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import NamedTuple

from vczoo.errors import VczooError
from vczoo.io.files import write_text

__all__ = ["ListeningTest", "Trial", "wilson_interval"]

Z95 = 1.959964
COLUMNS = ("time", "trial", "sentence", "a", "b", "x", "answer", "correct")


class Trial(NamedTuple):
    """One trial.

    Attributes:
        a: System that is heard as A.
        b: System that is heard as B.
        x: "A" or "B", which X is.
    """

    a: str
    b: str
    x: str


@dataclass
class ListeningTest:
    """An ABX test of two or more systems on one sentence.

    Attributes:
        systems: The file of each system's conversion, by its name.
        sentence: Name of the sentence, for the table.
        csv: The file of answers, which is written after each answer.
        seed: Seed of the draws.
    """

    systems: Mapping[str, Path]
    sentence: str
    csv: Path
    seed: int = field(default_factory=lambda: secrets.randbits(64))
    rows: list[dict[str, str]] = field(default_factory=list)
    trial: Trial | None = None

    def __post_init__(self) -> None:
        if len(self.systems) < 2:
            raise VczooError("a comparison takes two voices or more; choose another one")
        self._random = Random(self.seed)

    def next_trial(self) -> Trial:
        """Draw two systems, their order, and which of them X is."""
        a, b = self._random.sample(list(self.systems), 2)
        self.trial = Trial(a, b, self._random.choice("AB"))
        return self.trial

    def answer(self, heard: str) -> bool:
        """Record an answer, "A" or "B", to the current trial, and write the file.

        Returns:
            Whether it was right.

        Raises:
            VczooError: There is no trial to answer, or the answer is another one.
        """
        if self.trial is None:
            raise VczooError("there is no trial to answer; begin one")
        if heard not in ("A", "B"):
            raise VczooError(f"X is A or B, got {heard!r}")
        a, b, x = self.trial
        row = (
            datetime.now(UTC).isoformat(timespec="seconds"),
            str(len(self.rows) + 1),
            self.sentence,
            a,
            b,
            x,
            heard,
            str(int(heard == x)),
        )
        self.rows.append(dict(zip(COLUMNS, row, strict=True)))
        self.trial = None
        table = io.StringIO()
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _plain_cell(value) for name, value in row.items()} for row in self.rows)
        write_text(self.csv, table.getvalue())
        return heard == x

    def summary(self) -> str:
        """The score of each pair of systems with its interval, in sentences."""
        pairs: dict[tuple[str, ...], list[int]] = {}
        for row in self.rows:
            pairs.setdefault(tuple(sorted((row["a"], row["b"]))), []).append(int(row["correct"]))
        return " ".join(_score(pair, correct) for pair, correct in pairs.items()) or "No answer yet."


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson, "Probable inference", JASA 1927).

    Raises:
        VczooError: `count` is 0, or smaller than `successes`.
    """
    if not 0 <= successes <= count or count < 1:
        raise VczooError(f"a share takes 1 trial or more, and no more successes than that: got {successes} of {count}")
    share, square = successes / count, Z95**2 / count
    center = (share + square / 2) / (1 + square)
    half = Z95 / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, center - half), min(1.0, center + half)


def _score(pair: Sequence[str], correct: Sequence[int]) -> str:
    low, high = wilson_interval(sum(correct), len(correct))
    verdict = (
        "you hear the difference"
        if low > 0.5
        else "something is odd: this is worse than guessing"
        if high < 0.5
        else "guessing would explain it"
    )
    return (
        f"{pair[0]} and {pair[1]}: {sum(correct)} of {len(correct)} right, 95% interval {low:.0%} to {high:.0%}; "
        f"{verdict}."
    )


def _plain_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
