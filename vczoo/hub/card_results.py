"""Figures of a fine-tune and of an evaluation in; the section of a model card that shows them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.evaluation.report import Report, Scores
from vczoo.hub.card_facts import CardFacts
from vczoo.io.markdown import code, escaped, table

__all__ = ["quality"]

MOST_SYSTEMS = 8


def quality(facts: CardFacts) -> str:
    """Write the section on what was measured."""
    blocks = ["## How good it is"]
    if facts.evaluation:
        blocks += _evaluation(facts.evaluation)
    elif facts.converts:
        blocks.append("Nobody measured how much it sounds like its voices, or how well it is understood.")
    splits = [name for name in ("validation", "test") if facts.metrics.get(name)]
    if splits:
        figures = dict.fromkeys(key for split in splits for key in facts.metrics[split])
        rows = [(code(str(key)), *(_figure(facts.metrics[split].get(key)) for split in splits)) for key in figures]
        blocks += ["Of the fine-tune, on recordings that it was not trained on:", table(("figure", *splits), rows)]
    blocks += [f"![{escaped(path)}]({facts.url(path)})" for path in facts.plots]
    return "\n\n".join(blocks)


def _evaluation(evaluation: Mapping[str, Any]) -> list[str]:
    """The table of `vczoo evaluate`, a row a measure, with what is to be said of it."""
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
        f"{trials} The floor is the source unconverted; a ceiling is what a part of it could reach, or real speech.",
        *([table(header, cells)] if rows else []),
        *([notes] if notes else []),
    ]


def _read(figure: Mapping[str, Any]) -> Figure | None:
    """A figure of metrics.json; None where it is null, of a measure that does not apply."""
    value, low, high = (figure.get(name) for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return None
    return Figure(value, low, high, figure.get("count", 0))


def _figure(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.4g}" if number else ""
