"""A page on a run: what it sounds like, how it was trained, what it recognizes, and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vczoo.conversion.converter import Converter
from vczoo.data.corpus import Corpus
from vczoo.errors import AudioError, RunError
from vczoo.evaluation.report import METRICS
from vczoo.io.text import counted, truncated_list
from vczoo.reporting.blocks import Block, Page, Section, Text
from vczoo.reporting.confusion import confusion_section
from vczoo.reporting.conversions import (
    Converted,
    convert_held_out,
    listening_section,
    own_similarity,
    picture_section,
)
from vczoo.reporting.evaluation_page import EVALUATION, evaluation_blocks, read_evaluation
from vczoo.reporting.provenance import provenance_section, recipe_section
from vczoo.reporting.recordings import MOST_RECORDINGS, Reading, corpus_of, held_out, read_with_heads, spread
from vczoo.reporting.speaker_map import speaker_section
from vczoo.reporting.training_section import data_section, training_section

__all__ = ["run_page"]

UNREAD = "The held-out recordings can no longer be read. Give others with --data."

Location = str | os.PathLike[str]


def run_page(converter: Converter, name: str, data: Location | Sequence[Location] | None = None) -> Page:
    """Make the page of a run.

    Args:
        converter: The run.
        name: Its name, as the title.
        data: Recordings, as for `finetune`; None reads those that the run was trained on, if they are still there.

    Raises:
        CorpusError: `data` cannot be read.
    """
    corpus, reason = corpus_of(converter.run.folder, data)
    readings, unread = _readings(converter, corpus)
    conversions, unheard = _conversions(converter, corpus)
    sections = (
        listening_section(conversions, unheard or reason),
        picture_section(conversions, unheard or reason),
        Section("figures", "How close it comes", _figures(converter, conversions, unheard or reason)),
        training_section(converter),
        confusion_section(converter, readings, unread or reason),
        speaker_section(converter, readings),
        data_section(converter, corpus, reason),
        recipe_section(converter),
        provenance_section(converter),
    )
    people = sorted({speaker for c in conversions for speaker in (c.source.speaker, c.voice)})
    notice = (
        f"This page holds recordings of {', '.join(truncated_list(people))}, and synthetic speech in their voices. "
        "Share it only with their consent."
        if people
        else ""
    )
    return Page(name, _lead(converter), sections, notice)


def _lead(converter: Converter) -> str:
    tasks = set(converter.model.tasks.values())
    abilities = []
    if "voice" in tasks:
        abilities.append(f"converts speech to {counted(len(converter.voices), 'voice')}")
    if "text" in tasks:
        abilities.append("transcribes speech")
    if "label" in tasks:
        abilities.append(f"chooses among {counted(len(converter.labels), 'label')}")
    if "speaker" in tasks and len(converter.speakers) > 1:
        abilities.append(f"tells {len(converter.speakers)} speakers apart")
    does = " and ".join(abilities) or "is a pretrained backbone for other runs"
    return f"A run of the recipe {converter.recipe.name} that {does}."


def _readings(converter: Converter, corpus: Corpus | None) -> tuple[list[Reading], str]:
    """What the heads make of held-out recordings, and why there is nothing."""
    if corpus is None:
        return [], ""
    recordings = held_out(corpus)
    if not recordings:
        return [], "No recording is held out: all are in the training split."
    try:
        return read_with_heads(converter, spread(recordings, MOST_RECORDINGS)), ""
    except AudioError:
        return [], UNREAD


def _conversions(converter: Converter, corpus: Corpus | None) -> tuple[tuple[Converted, ...], str]:
    """Conversions of held-out recordings, and why there are none."""
    if not converter.model.voice_heads:
        return (), "This run has no voice head, so it converts nothing."
    if not converter.voices:
        return (), "This run has no voices yet. Add one with vczoo enroll."
    if corpus is None:
        return (), ""
    if not held_out(corpus):
        return (), "No recording is held out, so there is nothing to convert that the run was not trained on."
    try:
        conversions = convert_held_out(converter, corpus)
    except AudioError:
        return (), UNREAD
    return conversions, "" if conversions else "The held-out recordings have no speech to convert."


def _figures(converter: Converter, conversions: Sequence[Converted], reason: str) -> tuple[Block, ...]:
    """The evaluation of the run, or a comparison by its own speaker head."""
    folder: Path | None = converter.run.folder / EVALUATION if converter.run.folder else None
    if folder and (folder / METRICS).is_file():
        try:
            return evaluation_blocks(read_evaluation(folder))
        except RunError:
            return (Text("The results of its evaluation cannot be read. Run vczoo evaluate again."),)
    own = own_similarity(converter, conversions)
    if own:
        return own
    if conversions:
        reason = "There is only one voice here, or no speaker head, so floor and ceiling would say nothing."
    return (Text(f"{reason} This run was not evaluated yet; vczoo evaluate measures it."),)
