"""Results section of a model card: metrics of the fine-tune and of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.evaluation.report import Report, Scores
from vczoo.hub.card_facts import CardFacts
from vczoo.io.markdown import code, escaped, table

__all__ = ["quality"]

MOST_SYSTEMS = 8


def quality(facts: CardFacts) -> str:
    """Write the results section."""
    blocks = ["## Results"]
    if facts.evaluation:
        blocks += _evaluation(facts.evaluation)
    elif facts.converts:
        blocks.append("Similarity to the voices and intelligibility were not measured.")
    splits = [name for name in ("validation", "test") if facts.metrics.get(name)]
    if splits:
        names = dict.fromkeys(str(key) for split in splits for key in facts.metrics[split])
        figures = [name for name in names if not _is_certain(facts, name)]
        rows = [(code(key), *(_figure(facts.metrics[split].get(key)) for split in splits)) for key in figures]
        blocks += [
            "Metrics of the fine-tune, on recordings that were not used for training:",
            table(("metric", *splits), rows),
        ]
    blocks += [f"![{escaped(path)}]({facts.url(path)})" for path in facts.plots]
    return "\n\n".join(blocks)


def _is_certain(facts: CardFacts, name: str) -> bool:
    """Whether a metric is the rate of right answers of a head with one class, which is always 1."""
    head, _, figure = name.rpartition(".")
    return figure in ("accuracy", "recall") and facts.classes_of(head) == 1


def _evaluation(evaluation: Mapping[str, Any]) -> list[str]:
    """Write the table of `vczoo evaluate`, one row per metric, and its notes."""
    scores = []
    for system in list(evaluation.get("systems", ()))[:MOST_SYSTEMS]:
        role = system.get("role", "system")
        name = f"{system.get('system', '?')}{'' if role == 'system' else f' ({role})'}"
        figures = {key: figure for key, raw in system.get("figures", {}).items() if (figure := _read(raw))}
        scores.append(Scores(name, role, figures, notes=tuple(system.get("notes", ()))))
    report = Report(tuple(scores), notes=tuple(evaluation.get("notes", ())))
    rows = report.rows(by="measure")
    header = ("measure", *(escaped(title) for title in list(rows[0])[1:])) if rows else ()
    setup = evaluation.get("setup", {})
    count = setup.get("trial_count")
    trials = f"On {count} trials of {code(str(setup.get('trials', '')))}." if count else "On its own trials."
    cells = [[escaped(text).replace(" ±", "&nbsp;±") for text in row.values()] for row in rows]
    notes = "\n".join(f"- {escaped(note)}" for note in report.footnotes())
    return [
        f"{trials} The floor is the unconverted source. A ceiling is real speech, or the best that a part could reach.",
        *([table(header, cells)] if rows else []),
        *([notes] if notes else []),
    ]


def _read(figure: Mapping[str, Any]) -> Figure | None:
    """Read a figure of an evaluation; None if it is null because the metric does not apply."""
    value, low, high = (figure.get(name) for name in ("value", "low", "high"))
    if value is None:
        return None
    low, high = (math.nan if end is None else end for end in (low, high))
    return Figure(value, low, high, figure.get("count", 0))


def _figure(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.4g}" if is_number else ""
