"""Tab "Compare": one sentence in several voices or runs, and a blind ABX test between them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vczoo.errors import VczooError
from vczoo.ui.conversion_job import Choice, convert_clip
from vczoo.ui.listening_test import ListeningTest
from vczoo.ui.markup import file_address, message, note, player, player_list
from vczoo.ui.page import MODEL_QUEUE, Page
from vczoo.ui.sessions import Session

__all__ = ["build_compare_tab"]

MOST_SYSTEMS = 6


def build_compare_tab(page: Page) -> None:
    """Lay out the tab."""
    gr = page.gr
    sentence = gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",
        buttons=[],
        label="Sentence to convert",
        elem_id="sentence",
    )
    systems = page.voice_group("Voices and runs to compare", "systems")
    convert = gr.Button("Convert with each", variant="primary", elem_id="convert-each")
    players = gr.HTML(elem_id="compared", label="Conversions")
    gr.Markdown("## Blind test\nX is A or B, drawn at random. Which one?")
    begin = gr.Button("Next trial", elem_id="next-trial")
    trial = gr.HTML(elem_id="trial", label="Trial")
    with gr.Row():
        is_a = gr.Button("X is A", elem_id="is-a")
        is_b = gr.Button("X is B", elem_id="is-b")
    score = gr.HTML(elem_id="score", label="Score")

    def convert_each(session: Session, path: str | None, labels: Sequence[str] | None) -> list[str]:
        if not path:
            raise VczooError("there is no sentence yet; upload one, or record one")
        labels = labels or ()
        if not 2 <= len(labels) <= MOST_SYSTEMS:
            raise VczooError(f"choose 2 to {MOST_SYSTEMS} voices to compare, got {len(labels)}")
        source = page.store.claim(session, Path(path))
        voices = page.voices(session)
        pairs = {label: convert_clip(session, voices, source, Choice(label), page.bounds) for label in labels}
        results = {label: result for label, (_, result) in pairs.items()}
        session.forget_older("comparison", [file for pair in pairs.values() for file in pair], most=2)
        session.values["abx"] = ListeningTest(results, source.stem, session.new_file(".csv"))
        return [
            player_list("Conversions", [player(file, label) for label, file in results.items()]),
            note("Press “Next trial” to begin the blind test."),
            "",
        ]

    def next_trial(session: Session) -> str:
        test = _test(session)
        drawn = test.next_trial()
        # Copies by other names each time, so that no address says which system it is.
        files = {"A": drawn.a, "B": drawn.b, "X": drawn.a if drawn.x == "A" else drawn.b}
        copies = {letter: session.new_file(".wav") for letter in files}
        for letter, system in files.items():
            shutil.copyfile(test.systems[system], copies[letter])
        session.forget_older("trial", copies.values(), most=2)
        return player_list(f"Trial {len(test.rows) + 1}", [player(copy, letter) for letter, copy in copies.items()])

    def answer(session: Session, heard: str) -> list[str]:
        test = _test(session)
        right = test.answer(heard)
        link = f'<a class="vz-link" href="{file_address(test.csv)}" download="abx.csv">Download the answers (CSV)</a>'
        return [message("Right." if right else "Wrong."), message(test.summary()) + link]

    page.on(
        convert.click,
        convert_each,
        [sentence, systems],
        [players, trial, score],
        concurrency_id=MODEL_QUEUE,
        concurrency_limit=1,
    )
    page.on(begin.click, next_trial, [], [trial])
    page.on(is_a.click, lambda session: answer(session, "A"), [], [trial, score])
    page.on(is_b.click, lambda session: answer(session, "B"), [], [trial, score])


def _test(session: Session) -> ListeningTest:
    test: Any = session.values.get("abx")
    if not isinstance(test, ListeningTest):
        raise VczooError("convert a sentence with two voices or more first")
    return test
