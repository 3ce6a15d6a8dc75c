"""Tab "Share": the model card of a voice, its license and consent, a dry run, and the push to the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vczoo.conversion.converter import Converter
from vczoo.errors import VczooError
from vczoo.hub.commit import Published
from vczoo.hub.consent import STATEMENTS
from vczoo.io.text import counted
from vczoo.runs.run import own_voices
from vczoo.ui.markup import message
from vczoo.ui.models import BASE
from vczoo.ui.page import MODEL_QUEUE, Page
from vczoo.ui.sessions import Session
from vczoo.ui.tuning import tuned_runs

__all__ = ["build_share_tab", "shareable"]

LICENSES = ("cc-by-sa-4.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc0-1.0", "apache-2.0", "mit")
ENROLLED = "Enrolled voices"
HERE_ONLY = (
    "A push is possible only where this machine's login is yours: run `vczoo ui` on your own machine. The dry run "
    "checks everything and shows the card."
)


def build_share_tab(page: Page) -> None:
    """Lay out the tab."""
    gr = page.gr
    what = gr.Dropdown([], label="What to share", elem_id="share-what")
    repository = gr.Textbox(label="Repository on the Hub", placeholder="owner/name", elem_id="repository")
    license_menu = gr.Dropdown(
        list(LICENSES), value=LICENSES[0], label="License", allow_custom_value=True, elem_id="license"
    )
    consent = gr.Radio(
        [(f"{statement}: {meaning}", statement) for statement, meaning in STATEMENTS.items()],
        label="By which right do you share these voices?",
        value=None,
        elem_id="right",
    )
    dataset = gr.Textbox(label="Name of the dataset, for public-dataset", elem_id="dataset")
    private = gr.Checkbox(True, label="Private: only you can see the repository")
    with gr.Row():
        dry = gr.Button("Dry run: check, and show the card", variant="primary", elem_id="dry-run")
        push = gr.Button("Push to the Hub", interactive=page.settings.shares, elem_id="push")
    if not page.settings.shares:
        gr.Markdown(HERE_ONLY)
    outcome = gr.HTML(elem_id="share-outcome", label="Outcome")
    card = gr.Textbox(label="Model card", lines=4, max_lines=30, interactive=False, elem_id="card")

    def choices(session: Session) -> Any:
        names = list(shareable(session, page))
        return gr.update(choices=names, value=names[0] if names else None)

    page.menus.append((what, choices))

    def publish(session: Session, dry_run: bool, *values: Any) -> list[Any]:
        name, target, license_name, statement, data, hidden = values
        if not dry_run and not page.settings.shares:
            raise VczooError(HERE_ONLY)
        candidates = shareable(session, page)
        if name not in candidates:
            raise VczooError("there is no voice to share yet; enroll or tune one in “Make a voice” first")
        if not statement:
            raise VczooError("say by which right you share these voices")
        if not (target or "").strip():
            raise VczooError("name the repository: owner/name")
        chosen = candidates[name]
        converter = chosen if isinstance(chosen, Converter) else page.pool.own(chosen)
        published = converter.push_to_hub(
            target.strip(),
            license=(license_name or "").strip(),
            consent=statement.replace("<name>", (data or "").strip()),
            private=hidden,
            dry_run=dry_run,
        )
        return [message(_outcome(published, dry_run)), published.card]

    inputs = [what, repository, license_menu, consent, dataset, private]
    queue = {"concurrency_id": MODEL_QUEUE, "concurrency_limit": 1}
    page.on(dry.click, lambda session, *values: publish(session, True, *values), inputs, [outcome, card], **queue)
    page.on(push.click, lambda session, *values: publish(session, False, *values), inputs, [outcome, card], **queue)


def shareable(session: Session, page: Page) -> Mapping[str, Converter | Path]:
    """What a session can share, by its label: its tuned runs, and the base with the voices that it enrolled."""
    candidates: dict[str, Converter | Path] = dict(reversed(tuned_runs(session).items()))
    base = page.voices(session).base
    bundled = page.pool.fixed[BASE].voices
    if own := [voice for voice in own_voices(base.run) if voice not in bundled and voice not in candidates]:
        candidates[f"{ENROLLED}: {', '.join(own)}"] = base
    return candidates


def _outcome(published: Published, dry_run: bool) -> str:
    size = f"{counted(len(published.files), 'file')}, {sum(published.files.values()) / 1e6:.1f} MB"
    if dry_run:
        return f"Dry run: everything is in order, and nothing was uploaded. {size} would go to {published.url}."
    return f"Published: {published.url} ({size}, commit {published.commit[:12]})."
