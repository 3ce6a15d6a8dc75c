"""A page that compares runs: figures side by side, the same sentences by each, curves over each other, and settings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vczoo.conversion.converter import Converter
from vczoo.data.corpus import Corpus, Utterance
from vczoo.data.excerpts import UtteranceReader
from vczoo.errors import AudioError, RunError
from vczoo.evaluation.report import METRICS, Report, Scores
from vczoo.io.text import counted, truncated_list
from vczoo.reporting.blocks import Block, Figure, Page, Players, Section, Text, table_of
from vczoo.reporting.comparison_curves import overlaid_figure
from vczoo.reporting.evaluation_page import EVALUATION, evaluation_blocks, read_evaluation
from vczoo.reporting.figures import inline_svg
from vczoo.reporting.recordings import corpus_of, held_out, spread
from vczoo.reporting.sound import excerpt, player
from vczoo.reporting.training_section import metric_rows, read_history
from vczoo.runs.run import own_voices

__all__ = ["MOST_RUNS", "comparison_page"]

MOST_RUNS = 6  # as many as there are colors
SENTENCES = 3

Runs = Mapping[str, Converter]
Location = str | os.PathLike[str]


def comparison_page(runs: Runs, data: Location | Sequence[Location] | None = None) -> Page:
    """Make the page of a comparison.

    Args:
        runs: Two to six runs, by their names.
        data: Recordings to convert, as for `finetune`; None takes those that no run was trained on.

    Raises:
        CorpusError: `data` cannot be read.
    """
    sentences, people = _sentences(runs, data)
    sections = (
        Section("figures", "Figures side by side", _figures(runs)),
        Section("listen", "The same sentences by each run", sentences),
        Section("training", "Curves over each other", _curves(runs)),
        Section("settings", "Settings that differ", (_settings(runs),)),
    )
    notice = (
        f"This page holds recordings of {', '.join(truncated_list(people))}, and synthetic speech in their voices. "
        "Share it only with their consent."
        if people
        else ""
    )
    names = ", ".join(truncated_list(list(runs), MOST_RUNS))
    return Page(f"Comparison of {names}", f"{counted(len(runs), 'run')} side by side.", sections, notice)


def _figures(runs: Runs) -> tuple[Block, ...]:
    """The evaluations of the runs in one table, and what their fine-tunes measured in another."""
    blocks: list[Block] = []
    reports = {name: report for name, run in runs.items() if (report := _evaluation(run))}
    if reports:
        blocks += evaluation_blocks(_merged(reports))
        if len({str(report.setup.get("trials")) for report in reports.values()}) > 1:
            blocks.append(Text("These runs were evaluated on different trials, so small differences mean nothing."))
    if missing := [name for name in runs if name not in reports]:
        blocks.append(
            Text(f"Not evaluated yet: {', '.join(truncated_list(missing))}. vczoo evaluate does it, with intervals.")
        )
    measured = {name: {row["figure"]: row for row in metric_rows(run.metrics)} for name, run in runs.items()}
    titles = dict.fromkeys(title for rows in measured.values() for title in rows)
    rows = [
        {"figure": title, **{name: _best_split(rows.get(title, {})) for name, rows in measured.items()}}
        for title in titles
    ]
    if rows:
        blocks.append(
            table_of("What each fine-tune measured on its own held-out recordings, test split if there is one", rows)
        )
    return tuple(blocks)


def _best_split(row: Mapping[str, str]) -> str:
    return row.get("test") or row.get("validation", "")


def _evaluation(run: Converter) -> Report | None:
    folder = run.run.folder / EVALUATION if run.run.folder else None
    try:
        return read_evaluation(folder) if folder and (folder / METRICS).is_file() else None
    except RunError:
        return None


def _merged(reports: Mapping[str, Report]) -> Report:
    """One report: floor and ceilings of the first, then what each run itself scored, by the run's name."""
    first = next(iter(reports.values()))
    frame = {role: [s for s in first.scores if s.role == role] for role in ("floor", "ceiling")}
    systems: list[Scores] = []
    for name, report in reports.items():
        own = [scores for scores in report.scores if scores.role == "system"]
        systems += [replace(scores, system=name if len(own) == 1 else f"{name}: {scores.system}") for scores in own]
    notes = tuple(dict.fromkeys(note for report in reports.values() for note in report.notes))
    return Report((*frame["floor"], *systems, *frame["ceiling"]), first.setup, notes)


def _sentences(runs: Runs, data: Location | Sequence[Location] | None) -> tuple[tuple[Block, ...], list[str]]:
    """Players of a few sentences by each run, and the people that they are of."""
    able = {name: run for name, run in runs.items() if run.model.voice_heads and run.model.vocoder and run.voices}
    if not able:
        return (Text("None of these runs converts speech, so there is nothing to play."),), []
    sources, reason = _sources(runs, data)
    if not sources:
        return (Text(reason),), []
    common = [
        voice for voice in _voices(next(iter(able.values()))) if all(voice in run.voices for run in able.values())
    ]
    blocks: list[Block] = []
    people: set[str] = set()
    for number, source in enumerate(sources, 1):
        targets = {name: _target(common or _voices(run), source.speaker, number) for name, run in able.items()}
        try:
            played = [player(f"Source: {source.speaker}", _first(source, next(iter(able.values()))))]
            for name, run in able.items():
                played.append(player(f"{name}, as {targets[name]}", run.convert(_first(source, run), targets[name])))
        except AudioError:  # its first seconds are silent, or it is gone
            continue
        blocks.append(Players(f"{source.path.stem} of {source.speaker}", tuple(played)))
        people |= {source.speaker, *targets.values()}
    if not blocks:
        return (Text("The held-out recordings cannot be read, or have no speech. Give others with --data."),), []
    lead = "The first seconds of recordings that none of these runs was trained on"
    if data is not None:
        lead = "The first seconds of the recordings that were given"
    same = "." if common else ". The runs have no voice in common, so each converts to one of its own."
    return (Text(lead + same), *blocks), sorted(people)


def _sources(runs: Runs, data: Location | Sequence[Location] | None) -> tuple[list[Utterance], str]:
    """Some recordings to convert, and why there are none."""
    if data is not None:
        corpus, _ = corpus_of(None, data)
        assert corpus is not None
        return spread(held_out(corpus) or corpus.utterances, SENTENCES), ""
    reasons = [corpus_of(run.run.folder, None) for run in runs.values()]
    corpora: list[Corpus] = [corpus for corpus, _ in reasons if corpus]
    if not corpora:
        return [], reasons[0][1]
    trained = {_place(u) for corpus in corpora for u in corpus.split("train")}
    unique = list({_place(u): u for corpus in corpora for u in held_out(corpus) if _place(u) not in trained}.values())
    return spread(unique, SENTENCES), "Each held-out recording is in another run's training. Give others with --data."


def _place(utterance: Utterance) -> tuple[object, ...]:
    return utterance.path, utterance.channel, utterance.first_second


def _voices(run: Converter) -> list[str]:
    return list(own_voices(run.run)) or list(run.voices)


def _target(voices: Sequence[str], speaker: str, number: int) -> str:
    """A voice to convert to, another one for each sentence, and not the speaker's own if there is a choice."""
    turned = [*voices[(number - 1) % len(voices) :], *voices[: (number - 1) % len(voices)]]
    return next((voice for voice in turned if voice != speaker), speaker)


def _first(source: Utterance, run: Converter) -> Any:
    return excerpt(UtteranceReader(run.model.sample_rate_hz).read(source))


def _curves(runs: Runs) -> tuple[Block, ...]:
    histories = {name: read_history(run.run.folder) if run.run.folder else [] for name, run in runs.items()}
    drawn = {name: history for name, history in histories.items() if history}
    if not drawn:
        return (Text("None of these runs has the figures of its epochs, so there are no curves."),)
    ends = ", ".join(f"{name} {history[-1]['validation']['loss']:.3f}" for name, history in drawn.items())
    svg = inline_svg(
        overlaid_figure(drawn), "curves", f"Curves on held-out recordings. The loss of the last epoch: {ends}."
    )
    caption = "On each run's own held-out recordings. Losses compare only runs with the same heads and recordings."
    missing = [name for name in runs if name not in drawn]
    notes = (Text(f"Without curves: {', '.join(truncated_list(missing))}."),) if missing else ()
    return (Figure(svg, caption), *notes)


def _settings(runs: Runs) -> Block:
    plain = {name: _flat(run.recipe.to_plain()) | {"recipe": run.recipe.name} for name, run in runs.items()}
    keys = sorted({key for settings in plain.values() for key in settings} - {"summary", "name"})
    rows = [
        {"setting": key, **{name: settings.get(key, "") for name, settings in plain.items()}}
        for key in keys
        if len({settings.get(key, "") for settings in plain.values()}) > 1
    ]
    return table_of("What differs between the recipes", rows) if rows else Text("All runs have the same recipe.")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as text by dotted names."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return flat
