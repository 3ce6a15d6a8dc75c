"""Figures of a model card: metrics of the fine-tune and of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.evaluation.report import Report, Scores
from vczoo.hub.card_facts import CardFacts
from vczoo.io.markdown import escaped

__all__ = ["evaluation_of", "metrics_of"]

MOST_SYSTEMS = 8


def metrics_of(facts: CardFacts) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The metrics of the fine-tune on recordings that were not used for training.

    Returns:
        The splits that have metrics; and the name of each metric, with its figure in each of these splits.
    """
    splits = [name for name in ("validation", "test") if facts.metrics.get(name)]
    names = dict.fromkeys(str(key) for split in splits for key in facts.metrics[split])
    return splits, [
        (name, [_figure(facts.metrics[split].get(name)) for split in splits])
        for name in names
        if not _is_certain(facts, name)
    ]


def _is_certain(facts: CardFacts, name: str) -> bool:
    """Whether a metric is the rate of right answers of a head with one class, which is always 1."""
    head, _, figure = name.rpartition(".")
    return figure in ("accuracy", "recall") and facts.classes_of(head) == 1


def evaluation_of(facts: CardFacts) -> dict[str, Any] | None:
    """The results of `vczoo evaluate`, one row per metric; None if there are none.

    Returns:
        The number of trials and the name of their list; the header and rows of the table, in Markdown; and the notes.
    """
    evaluation = facts.evaluation
    if not evaluation:
        return None
    scores = []
    for system in list(evaluation.get("systems", ()))[:MOST_SYSTEMS]:
        role = system.get("role", "system")
        name = f"{system.get('system', '?')}{'' if role == 'system' else f' ({role})'}"
        figures = {key: figure for key, raw in system.get("figures", {}).items() if (figure := _read(raw))}
        scores.append(Scores(name, role, figures, notes=tuple(system.get("notes", ()))))
    report = Report(tuple(scores), notes=tuple(evaluation.get("notes", ())))
    rows = report.rows(by="measure")
    setup = evaluation.get("setup", {})
    return {
        "count": setup.get("trial_count"),
        "trials": str(setup.get("trials", "")),
        "header": ["measure", *(escaped(title) for title in list(rows[0])[1:])] if rows else [],
        "rows": [[escaped(text).replace(" ±", "&nbsp;±") for text in row.values()] for row in rows],
        "notes": report.footnotes(),
    }


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
