"""Results of `vczoo evaluate` on a page: the table with intervals, the plot of similarity, and what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vczoo.errors import RunError
from vczoo.evaluation.metrics.bootstrap import Figure as Measured
from vczoo.evaluation.plots import similarity_figure
from vczoo.evaluation.report import METRICS, Report, Scores
from vczoo.io.text import counted
from vczoo.reporting.blocks import Block, Figure, Page, Section, Text, table_of
from vczoo.reporting.figures import inline_svg
from vczoo.runs.run_files import read_metrics

__all__ = ["EVALUATION", "evaluation_blocks", "evaluation_page", "is_evaluation", "read_evaluation"]

EVALUATION = "evaluation"  # folder of the results of `vczoo evaluate` in a run folder
MOST_SYSTEMS = 12
_SETUP = ("trials", "trial_count", "words_against", "speaker", "asr", "naturalness", "metrics", "seed", "versions")


def is_evaluation(folder: Path) -> bool:
    """Whether a folder has the results of an evaluation, rather than the metrics of a fine-tune."""
    try:
        return bool(read_metrics(folder / METRICS).get("systems"))
    except (OSError, ValueError):
        return False


def read_evaluation(folder: Path) -> Report:
    """Read the metrics.json of an evaluation.

    Raises:
        RunError: It is missing, damaged, or of another form.
    """
    path = folder / METRICS
    try:
        content = read_metrics(path)
        scores = tuple(_scores(system) for system in content["systems"][:MOST_SYSTEMS])
        return Report(scores, dict(content.get("setup", {})), tuple(map(str, content.get("notes", ()))), folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: not the results of an evaluation ({error}); run `vczoo evaluate` again") from error


def evaluation_page(folder: Path) -> Page:
    """A page on an evaluation, which compares systems on one list of trials.

    Raises:
        RunError: The folder has no evaluation that can be read.
    """
    report = read_evaluation(folder)
    systems = [scores.system for scores in report.scores if scores.role == "system"]
    count = report.setup.get("trial_count")
    lead = f"{' and '.join(systems) or 'Systems'}, compared with floor and ceilings"
    sections = [Section("figures", "Figures", evaluation_blocks(report))]
    if setup := [{"setting": name, "value": _plain(report.setup[name])} for name in _SETUP if report.setup.get(name)]:
        sections.append(Section("setup", "How it was measured", (table_of("What the figures depend on", setup),)))
    return Page(
        f"Evaluation of {', '.join(systems) or folder.name}",
        f"{lead} on {counted(count, 'trial')}." if isinstance(count, int) else f"{lead}.",
        tuple(sections),
    )


def evaluation_blocks(report: Report) -> tuple[Block, ...]:
    """The table, the plot and the notes of an evaluation."""
    rows = report.rows(by="measure")
    blocks: list[Block] = [
        table_of("Each measure with half its 95% interval; ↑: higher is better, ↓: lower is better", rows)
    ]
    drawn = [scores for scores in report.scores if scores.trials]
    if drawn:
        means = ", ".join(
            f"{scores.system} {scores.figures['similarity_to_target'].value:.2f}"
            for scores in drawn
            if "similarity_to_target" in scores.figures
        )
        svg = inline_svg(
            similarity_figure(drawn), "similarity", f"Scatter of similarity. Mean cosine to target: {means}."
        )
        caption = "A conversion should move from the floor (source) to the ceiling (real speech of the target)."
        blocks.append(Figure(svg, caption))
    blocks += [Text(note) for note in report.footnotes()]
    return tuple(blocks)


def _scores(system: Mapping[str, Any]) -> Scores:
    """One system; trials without both similarities, and figures that could not be measured, are left out."""
    cosines = ("similarity_to_source", "similarity_to_target")
    trials = [t for t in system.get("trials", ()) if all(isinstance(t.get(name), int | float) for name in cosines)]
    figures = {str(name): one for name, raw in system["figures"].items() if (one := _measured(raw))}
    role = system.get("role")
    return Scores(
        str(system["system"]),
        role if role in ("floor", "ceiling") else "system",
        figures,
        tuple({name: float(trial[name]) for name in cosines} for trial in trials),
        notes=tuple(map(str, system.get("notes", ()))),
        headings={str(name): str(heading) for name, heading in system.get("headings", {}).items()},
    )


def _measured(raw: Mapping[str, Any]) -> Measured | None:
    if raw.get("value") is None:
        return None
    low, high = (math.nan if raw.get(end) is None else float(raw[end]) for end in ("low", "high"))
    return Measured(float(raw["value"]), low, high, int(raw.get("count", 0)))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
