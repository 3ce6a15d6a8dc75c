"""Tab "Convert": one recording to a voice, side by side with its source, and a batch of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vczoo.audio.waveform import Waveform
from vczoo.errors import VczooError
from vczoo.io.names import file_stem
from vczoo.io.text import counted
from vczoo.ui.conversion_job import MOST_DB, Choice, convert_batch, convert_clip
from vczoo.ui.markup import file_address, message, pair_player, picture
from vczoo.ui.page import MODEL_QUEUE, Page
from vczoo.ui.pictures import draw_pair
from vczoo.ui.sessions import Session

__all__ = ["build_convert_tab"]

MOST_SEMITONES = 24


def build_convert_tab(page: Page) -> None:
    """Lay out the tab."""
    gr = page.gr
    with gr.Row():
        with gr.Column(min_width=280):
            source = gr.Audio(
                sources=["microphone", "upload"],
                type="filepath",
                buttons=[],
                label="Recording to convert",
                elem_id="source",
            )
            voice = page.voice_menu(label="Voice", elem_id="voice")
            convert = gr.Button("Convert", variant="primary", elem_id="convert")
            with gr.Accordion("Pitch, mix and level", open=False):
                auto = gr.Checkbox(True, label="Move the pitch to that of the voice")
                semitones = gr.Slider(
                    -MOST_SEMITONES, MOST_SEMITONES, 0, step=1, label="Otherwise, semitones up or down"
                )
                other = page.voice_menu(empty="no other voice", label="Mix with")
                share = gr.Slider(0, 100, 50, step=5, label="Share of the other voice, in percent")
                level = gr.Slider(-MOST_DB, MOST_DB, 0, step=1, label="Level of the result, in dB")
            if page.settings.loads:
                with gr.Accordion("A voice from the Hub", open=False):
                    name = gr.Textbox(label="Published run", placeholder="owner/name")
                    load = gr.Button("Load it")
        with gr.Column(min_width=280):
            result = gr.HTML(elem_id="result", label="Result")
            shown = gr.HTML(elem_id="picture", label="Mel spectrograms and pitch")
    if page.settings.examples:
        gr.Examples(
            [[example] for example in page.settings.examples], [source], label="Recordings to try", cache_examples=False
        )
    with gr.Accordion("Several files", open=False):
        files = gr.File(file_count="multiple", label="Recordings to convert with the settings above", elem_id="batch")
        start = gr.Button("Convert all", elem_id="convert-all")
        batch = gr.HTML(elem_id="batch-result", label="Converted files")
    settings = [voice, other, share, auto, semitones, level]

    def convert_one(session: Session, path: str | None, *values: Any) -> tuple[str, str]:
        if not path:
            raise VczooError("there is no recording yet; record one, or upload one")
        choice = _choice(*values)
        upload = page.store.claim(session, Path(path))
        pair = convert_clip(session, page.voices(session), upload, choice, page.bounds)
        session.values["pair"] = pair
        session.forget_older("conversion", pair)
        download = f"{file_stem(f'{upload.stem}-as-{choice.voice}')}.wav"
        return pair_player(*pair, choice.voice, download), ""

    def draw(session: Session) -> str:
        pair = session.values.get("pair")
        if not pair:
            return ""
        drawn = draw_pair(Waveform.read(pair[0]), Waveform.read(pair[1]), session.new_file(".png"))
        session.forget_older("picture", [drawn])
        return picture(drawn, "Mel spectrograms of source and conversion, and their pitch over time")

    def convert_all(session: Session, paths: Sequence[str] | None, *values: Any) -> str:
        uploads = [page.store.claim(session, Path(path)) for path in paths or ()]
        made = convert_batch(session, page.voices(session), uploads, _choice(*values), page.bounds)
        session.forget_older("batch", [made.zip_file], most=2)
        link = (
            f'<a class="vz-link" href="{file_address(made.zip_file)}" download="converted.zip">'
            f"Download {counted(made.files, 'file')}</a>"
        )
        return link + "".join(message(fault, alert=True) for fault in made.faults)

    def load_published(session: Session, text: str) -> list[Any]:
        voices = page.voices(session)
        voices.add(text.strip(), page.pool.published(text))
        return page.menu_updates(session)

    heavy = {"concurrency_id": MODEL_QUEUE, "concurrency_limit": 1}
    converted = page.on(convert.click, convert_one, [source, *settings], [result, shown], **heavy)
    page.on(converted.success, draw, [], [shown], **heavy)
    page.on(start.click, convert_all, [files, *settings], [batch], **heavy)
    if page.settings.loads:
        page.late.append(lambda menus: page.on(load.click, load_published, [name], menus, **heavy))


def _choice(voice: str, other: str, share: float, auto: bool, semitones: float, level_db: float) -> Choice:
    return Choice(voice or "", other or "", share / 100, None if auto else float(semitones), float(level_db))
