"""Evaluation report: the scores of systems as a table and as `metrics.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vczoo.errors import RunError
from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.io.data_frame import data_frame
from vczoo.io.files import write_text
from vczoo.io.html_table import html_table
from vczoo.io.text import truncated_list

__all__ = ["METRICS", "Report", "Role", "Scores"]

METRICS = "metrics.json"
FORMAT = 1
SHOWN_SYSTEMS = 5  # in its `repr`
Role = Literal["floor", "ceiling", "system"]

# Name of the figure and its title in a table. ↑: higher is better; ↓: lower is better.
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


@dataclass(frozen=True, repr=False)
class Scores:
    """The scores of one system.

    Attributes:
        system: Name of the system.
        role: floor (the unconverted sources), ceiling (what one part of a system, or real speech, would reach) or
            system.
        figures: Figures by name, with intervals: similarity_to_target, similarity_to_source, nearer_to_target, eer,
            wer, cer (and `wer:<ASR>`, `cer:<ASR>` of further recognizers), f0_correlation, f0_rmse_semitones, mcd_db,
            dnsmos_overall, dnsmos_signal, dnsmos_background, real_time_factor. Figures that do not apply are absent.
        trials: The same figures for each recording.
        finetune_seconds: Seconds that adapting the system to the targets took; 0 for no adaptation, None if unknown.
        notes: Sentences that a reader of these figures must know.
        headings: Headings of the figures of further metrics, by the figures' names.
    """

    system: str
    role: Role
    figures: Mapping[str, Figure]
    trials: tuple[Mapping[str, Any], ...] = ()
    finetune_seconds: float | None = None
    notes: tuple[str, ...] = ()
    headings: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Scores of {self.system} ({self.role}): {len(self.figures)} figures, {len(self.trials)} trials>"


@dataclass(frozen=True, repr=False)
class Report:
    """The scores of several systems on one trial list.

    Attributes:
        scores: Scores of floors, ceilings and systems, in the order of the table.
        setup: Everything that the figures depend on: trial list, measuring models, seed, versions.
        notes: Sentences that a reader of the whole table must know.
        folder: Folder that the report and its plots were written to; None if they were not written.
    """

    scores: tuple[Scores, ...]
    setup: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    folder: Path | None = None

    def __repr__(self) -> str:
        systems = truncated_list([scores.system for scores in self.scores], SHOWN_SYSTEMS)
        return f"<Report of {len(self.scores)} systems: {', '.join(systems)}>"

    def _repr_html_(self) -> str:
        """The table for notebooks: one row per measure."""
        return html_table(self.rows("measure"), self.footnotes())

    def rows(self, by: Literal["system", "measure"] = "system") -> list[dict[str, str]]:
        """Return the table as rows of text: each figure with half its interval; figures that do not apply are empty.

        Args:
            by: What a row is. `system` gives one row per system and one column per measure, for many systems;
                `measure` is the transposed table, for a few.
        """
        columns = [(name, title) for name, title in self._columns() if any(name in s.figures for s in self.scores)]
        rows = []
        for scores in self.scores:
            row = {"system": scores.system + "*" * bool(scores.notes)}
            row |= {title: _cell(scores.figures.get(name)) for name, title in columns}
            if any(other.finetune_seconds is not None for other in self.scores):
                seconds = scores.finetune_seconds
                row["fine-tune s"] = "" if seconds is None else f"{seconds:.0f}"
            rows.append(row)
        if by == "system":
            return rows
        titles = list(rows[0])[1:] if rows else []
        return [{"measure": title, **{row["system"]: row[title] for row in rows}} for title in titles]

    def footnotes(self) -> list[str]:
        """Return the lines to print under the table: the report's notes and those of each system."""
        return [*self.notes, *(f"* {scores.system}: {note}" for scores in self.scores for note in scores.notes)]

    def to_plain(self) -> dict[str, Any]:
        """Return the content of metrics.json: everything but the folder."""
        return {
            "format": FORMAT,
            "setup": dict(self.setup),
            "notes": list(self.notes),
            "systems": [_plain_scores(scores) for scores in self.scores],
        }

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with one row per system.

        The columns are `system`, `role`, each figure with its interval (`wer`, `wer_low`, `wer_high`) and
        `finetune_seconds`. Figures that do not apply are missing values.

        Raises:
            PluginError: pandas is not installed.
        """
        rows: list[dict[str, Any]] = []
        for scores in self.scores:
            row: dict[str, Any] = {"system": scores.system, "role": scores.role}
            for name, figure in scores.figures.items():
                row |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
            rows.append(row | {"finetune_seconds": scores.finetune_seconds})
        return data_frame(rows)

    def write(self, folder: Path, *, overwrite: bool = True) -> Path:
        """Write metrics.json into a folder and return its path.

        Args:
            folder: The folder, which is created if it does not exist.
            overwrite: Whether to replace a metrics.json that is there.

        Raises:
            RunError: The file cannot be written, or it exists and `overwrite` is false.
        """
        try:
            content = json.dumps(_finite(self.to_plain()), indent=2, ensure_ascii=False) + "\n"
            write_text(folder / METRICS, content, overwrite=overwrite)
        except OSError as error:
            raise RunError(f"{folder}: {METRICS} cannot be written ({error}); choose another folder") from error
        return folder / METRICS

    def _columns(self) -> Sequence[tuple[str, str]]:
        """Return all possible columns: the rates of further recognizers follow those of the first."""
        further = sorted({name for scores in self.scores for name in scores.figures if ":" in name})
        titles = [(name, f"{name[:3].upper()} {name.partition(':')[2]} ↓") for name in further]
        own = {name: heading for scores in self.scores for name, heading in scores.headings.items()}
        rates = sorted(titles, key=lambda pair: (pair[0][4:], pair[0][0] != "w"))
        return (*_COLUMNS[:5], *rates, *_COLUMNS[5:], *own.items())


def _plain_scores(scores: Scores) -> dict[str, Any]:
    """One system as plain values; an evaluation without further metrics has no `headings`."""
    plain = {**asdict(scores), "figures": {name: asdict(value) for name, value in scores.figures.items()}}
    return plain if scores.headings else {key: value for key, value in plain.items() if key != "headings"}


def _cell(value: Figure | None) -> str:
    return value.text() if value else ""


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by None."""
    change: Callable[[Any], Any] = _finite
    if isinstance(value, dict):
        return {key: change(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [change(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
