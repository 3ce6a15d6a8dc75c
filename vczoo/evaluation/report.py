"""Scores of systems in; a table for people and `metrics.json` out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vczoo.errors import RunError
from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.io.files import write_text

__all__ = ["METRICS", "Report", "Role", "Scores"]

METRICS = "metrics.json"
FORMAT = 1
Role = Literal["floor", "ceiling", "system"]

# Figure, its name in a table, and which way is better: ↑ more, ↓ less.
_COLUMNS = (
    ("similarity_to_target", "to target ↑"),
    ("similarity_to_source", "to source ↓"),
    ("eer", "EER ↑"),
    ("wer", "WER ↓"),
    ("cer", "CER ↓"),
    ("f0_correlation", "F0 corr ↑"),
    ("f0_rmse_semitones", "F0 RMSE st ↓"),
    ("mcd_db", "MCD dB ↓"),
    ("dnsmos_overall", "DNSMOS ↑"),
    ("real_time_factor", "RTF ↓"),
)


@dataclass(frozen=True)
class Scores:
    """How a system did.

    Attributes:
        system: its name.
        role: floor (unconverted), ceiling (what a part of a system, or no conversion at all, would reach) or system.
        figures: by name, with intervals: similarity_to_target, similarity_to_source, nearer_to_target, eer, wer, cer
            (and `wer:<ASR>`, `cer:<ASR>` of further ones), f0_correlation, f0_rmse_semitones, mcd_db,
            dnsmos_overall, dnsmos_signal, dnsmos_background, real_time_factor. What does not apply is absent.
        trials: the same, recording by recording.
        finetune_seconds: what adapting it to the targets took; 0 for no adaptation, None where it is not known.
        notes: what a reader must know of these figures.
    """

    system: str
    role: Role
    figures: Mapping[str, Figure]
    trials: tuple[Mapping[str, Any], ...] = ()
    finetune_seconds: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """Systems that were scored on one trial list, in the order of the table.

    Attributes:
        scores: of floors, ceilings and systems.
        setup: trial list, measuring models, seed, versions: what the figures depend on.
        notes: what a reader of the whole table must know.
        folder: where it was written with its plots; None where it was not.
    """

    scores: tuple[Scores, ...]
    setup: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    folder: Path | None = None

    def rows(self, by: Literal["system", "measure"] = "system") -> list[dict[str, str]]:
        """The table as rows of text, each figure with half its interval; a figure that does not apply is empty.

        Args:
            by: system, a row each and a column a measure, for many; measure, the other way round, for a few.
        """
        columns = [(name, title) for name, title in self._columns() if any(name in s.figures for s in self.scores)]
        rows = []
        for scores in self.scores:
            row = {"system": scores.system + "*" * bool(scores.notes)}
            row |= {title: _cell(scores.figures.get(name)) for name, title in columns}
            if any(one.finetune_seconds is not None for one in self.scores):
                known = scores.finetune_seconds
                row["fine-tune s"] = "" if known is None else f"{known:.0f}"
            rows.append(row)
        if by == "system":
            return rows
        return [
            {"measure": title, **{row["system"]: row[title] for row in rows}} for title in rows[0] if title != "system"
        ]

    def footnotes(self) -> list[str]:
        """What belongs under the table, a line each."""
        return [*self.notes, *(f"* {scores.system}: {note}" for scores in self.scores for note in scores.notes)]

    def to_plain(self) -> dict[str, Any]:
        """The content of metrics.json: all but the folder."""
        return {
            "format": FORMAT,
            "setup": dict(self.setup),
            "notes": list(self.notes),
            "systems": [
                {**asdict(scores), "figures": {name: asdict(value) for name, value in scores.figures.items()}}
                for scores in self.scores
            ],
        }

    def write(self, folder: Path) -> Path:
        """Write metrics.json into a folder; return its path.

        Raises:
            RunError: the disk refuses.
        """
        try:
            write_text(folder / METRICS, json.dumps(_finite(self.to_plain()), indent=2, ensure_ascii=False) + "\n")
        except OSError as error:
            raise RunError(f"{folder}: the figures cannot be written ({error}); choose another folder") from error
        return folder / METRICS

    def _columns(self) -> Sequence[tuple[str, str]]:
        """The columns there can be: the rates of further recognisers stand beside those of the first."""
        further = sorted({name for scores in self.scores for name in scores.figures if ":" in name})
        titles = [(name, f"{name[:3].upper()} {name.partition(':')[2]} ↓") for name in further]
        return (*_COLUMNS[:5], *sorted(titles, key=lambda pair: (pair[0][4:], pair[0][0] != "w")), *_COLUMNS[5:])


def _cell(value: Figure | None) -> str:
    return "" if value is None else f"{value.value:.3f} ±{(value.high - value.low) / 2:.3f}"


def _finite(value: Any) -> Any:
    """JSON has no NaN; a figure that is none becomes null."""
    change: Callable[[Any], Any] = _finite
    if isinstance(value, dict):
        return {key: change(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [change(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
