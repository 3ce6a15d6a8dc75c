"""Interface of evaluation metrics: figures of one conversion, which an evaluation averages over its trials."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from vczoo.audio.waveform import Waveform

__all__ = ["FIGURE_NAME", "Case", "Column", "Metric"]

FIGURE_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Column:
    """A figure that a metric computes.

    Attributes:
        name: Name of the figure in metrics.json, such as "mcd_db".
        title: Title of the figure in tables, such as "MCD dB". An arrow that says which direction is better follows it.
        higher_is_better: Whether a higher figure is better.
    """

    name: str
    title: str
    higher_is_better: bool

    @property
    def heading(self) -> str:
        """The title with its arrow."""
        return f"{self.title} {'↑' if self.higher_is_better else '↓'}"


@dataclass(frozen=True)
class Case:
    """A recording to measure, and what it may be compared with. All waveforms are (1, S), at 16 kHz, on the CPU.

    Attributes:
        wave: The recording: a conversion, or real speech that is measured for comparison.
        source: What was converted; None for real speech.
        parallel: The target speaker saying the same text; None if there is no such recording, and for real speech.
        text: What the source says; empty if it is unknown.
    """

    wave: Waveform
    source: Waveform | None = None
    parallel: Waveform | None = None
    text: str = ""


class Metric(ABC):
    """Computes figures of a recording.

    Attributes:
        columns: The figures, at least one.
    """

    columns: tuple[Column, ...]

    @abstractmethod
    def measure(self, case: Case) -> Mapping[str, float]:
        """Measure one recording.

        Returns:
            Finite figures by the names of `columns`. A figure that does not apply to this case is left out: one that
            needs a source, for example, or one of speech in a recording without speech. A figure without a column is
            kept for this trial, but not averaged.
        """
