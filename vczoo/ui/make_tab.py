"""Tab "Make a voice": clips and what they are worth, enrollment, and a fine-tune with its curves and stop advice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vczoo.errors import VczooError, VoiceError
from vczoo.io.names import name_fault
from vczoo.ui.clip_store import add_clips, clear_clips, clips_of
from vczoo.ui.markup import clip_table, message, note
from vczoo.ui.page import MODEL_QUEUE, Page
from vczoo.ui.sessions import Session
from vczoo.ui.tuning import current_tuning, follow_tuning, resume_tuning, start_tuning, stop_tuning, tuning_view

__all__ = ["build_make_tab"]

RECIPES = {
    "Whole decoder (base-partialfreeze): closer to the voice": "base-partialfreeze",
    "Low-rank changes (base-lora): a small file, which can be mixed": "base-lora",
}
EPOCHS, MOST_EPOCHS = 24, 200
TICK_SECONDS = 2.0
CONSENT = "This is my voice, or its owner agreed to this"


def build_make_tab(page: Page) -> None:
    """Lay out the tab."""
    gr = page.gr
    name = gr.Textbox(label="Name of the voice", value="me", max_length=60, elem_id="voice-name")
    with gr.Row():
        recorded = gr.Audio(
            sources=["microphone"],
            type="filepath",
            buttons=[],
            label="Record a clip",
            elem_id="clip-record",
        )
        files = gr.File(file_count="multiple", label="Or upload clips of one person", elem_id="clip-files")
    table = gr.HTML(elem_id="clips", label="Clips")
    consent = gr.Checkbox(False, label=CONSENT, elem_id="consent")
    with gr.Row():
        enroll = gr.Button("Enroll now, without training", variant="primary", elem_id="enroll")
        clear = gr.Button("Remove all clips", elem_id="clear-clips")
    enrolled = gr.HTML(elem_id="enrolled", label="Enrolled voice")
    clip_inputs = [recorded, files, table]

    def add_recorded(session: Session, path: str | None) -> list[Any]:
        return _add(session, [path] if path else [])

    def add_files(session: Session, paths: Sequence[str] | None) -> list[Any]:
        return _add(session, paths or [])

    def _add(session: Session, paths: Sequence[str]) -> list[Any]:
        for path in paths:
            page.store.claim(session, Path(path))
        faults = add_clips(session, page.voices(session).base, [Path(path) for path in paths], page.bounds)
        shown = clip_table(*clips_of(session)) + "".join(message(fault, alert=True) for fault in faults)
        return [None, None, shown]

    def remove_all(session: Session) -> list[Any]:
        clear_clips(session)
        return [None, None, clip_table(*clips_of(session))]

    def enroll_now(session: Session, text: str, agreed: bool) -> list[Any]:
        _check(session, text, agreed)
        waves = session.values["clip_waves"]
        sentence = page.voices(session).base.enroll(text.strip(), list(waves), overwrite=True)
        shown = f"{text.strip()} is enrolled, and first in the menus of voices. {sentence}."
        return [message(shown), *page.menu_updates(session)]

    heavy = {"concurrency_id": MODEL_QUEUE, "concurrency_limit": 1}
    page.on(recorded.stop_recording, add_recorded, [recorded], clip_inputs, **heavy)
    page.on(files.upload, add_files, [files], clip_inputs, **heavy)
    page.on(clear.click, remove_all, [], clip_inputs)
    page.late.append(lambda menus: page.on(enroll.click, enroll_now, [name, consent], [enrolled, *menus], **heavy))
    page.loaders.append((lambda session: [clip_table(*clips_of(session))], [table]))
    if page.settings.tunes:
        _build_tuning(page, name, consent)


def _build_tuning(page: Page, name: Any, consent: Any) -> None:
    """Lay out the fine-tune below the clips."""
    gr = page.gr
    gr.Markdown("## Tune\nTraining on your clips brings conversions closer to the voice. It takes a minute or more.")
    recipe = gr.Radio(list(RECIPES), value=next(iter(RECIPES)), label="What to train")
    epochs = gr.Number(EPOCHS, label="Epochs", minimum=1, maximum=MOST_EPOCHS, precision=0, elem_id="epochs")
    with gr.Row():
        tune = gr.Button("Tune", variant="primary", elem_id="tune")
        stop = gr.Button("Stop", elem_id="stop")
        resume = gr.Button("Resume", elem_id="resume")
    progress = gr.HTML(elem_id="tuning", label="Progress of the training")
    timer = gr.Timer(TICK_SECONDS, active=False)

    def begin(session: Session, text: str, agreed: bool, what: str, count: float) -> list[Any]:
        _check(session, text, agreed)
        if not 1 <= count <= MOST_EPOCHS:
            raise VczooError(f"the number of epochs is 1 to {MOST_EPOCHS}, got {count:g}")
        start_tuning(session, page, RECIPES[what], text.strip(), int(count))
        return [tuning_view(session), gr.Timer(active=True)]

    def go_on(session: Session) -> list[Any]:
        resume_tuning(session)
        return [tuning_view(session), gr.Timer(active=True)]

    def halt(session: Session) -> str:
        stop_tuning(session)
        return note("Stopping after this step …")

    def tick(session: Session) -> list[Any]:
        ended = follow_tuning(session, page)
        view, again = tuning_view(session), gr.Timer(active=not ended)
        menus = page.menu_updates(session) if ended else [gr.skip()] * len(page.menus)
        return [view, again, *menus]

    def restored(session: Session) -> list[Any]:
        return [tuning_view(session), gr.Timer(active=current_tuning(session) is not None)]

    page.on(tune.click, begin, [name, consent, recipe, epochs], [progress, timer])
    page.on(resume.click, go_on, [], [progress, timer])
    page.on(stop.click, halt, [], [progress])
    page.late.append(lambda menus: page.on(timer.tick, tick, [], [progress, timer, *menus], show_progress="hidden"))
    page.loaders.append((restored, [progress, timer]))


def _check(session: Session, name: str, agreed: bool) -> None:
    """Refuse to make a voice without clips, a valid name and consent."""
    if not agreed:
        raise VoiceError(f"tick the box first: “{CONSENT}”")
    if fault := name_fault(name.strip()):
        raise VoiceError(f"{fault}; choose another name for the voice")
    if not session.values.get("clips"):
        raise VoiceError("there is no clip yet; record one, or upload some")
