"""HTML of a page: players, tables of clips, and messages. Every text from outside is escaped here."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from vczoo.io.text import counted
from vczoo.ui.clip_worth import ClipWorth

__all__ = ["clip_table", "file_address", "message", "note", "pair_player", "picture", "player", "player_list"]


def file_address(path: Path) -> str:
    """The address of a file of the working folder, relative to the page, so that it works behind a proxy."""
    return f"gradio_api/file={quote(str(path))}"


def player(path: Path, label: str, *, key: str = "", autoplay: bool = False, download: str = "") -> str:
    """A sound with its label.

    Args:
        path: The sound file.
        label: What it is.
        key: Letter of the key that plays it; "" for none.
        autoplay: Whether it plays when it appears.
        download: Name that a download gets; "" for no link.
    """
    address, text = html.escape(file_address(path)), html.escape(label)
    marks = (f' data-key="{key}"' if key else "") + (" autoplay" if autoplay else "")
    link = f'<a href="{address}" download="{html.escape(download)}">Download {text}</a>' if download else ""
    return (
        f'<figure class="vz-player"><figcaption>{text}</figcaption>'
        f'<audio controls preload="auto" src="{address}" aria-label="{text}"{marks}></audio>{link}</figure>'
    )


def pair_player(source: Path, result: Path, voice: str, download: str) -> str:
    """Source and result side by side. The keys A and B play one from where the other is."""
    return (
        '<section class="vz-pair" aria-label="Source and conversion"><div class="vz-row">'
        + player(source, "A: source", key="a")
        + player(result, f"B: converted to {voice}", key="b", autoplay=True, download=download)
        + '</div><label class="vz-keys"><input type="checkbox" class="vz-keys-on" checked> '
        "Keys A and B play the one from where the other is</label></section>"
    )


def player_list(label: str, players: Sequence[str]) -> str:
    """Several players in a row, or below each other where the page is narrow."""
    inner = f'<div class="vz-row">{"".join(players)}</div>'
    return f'<section class="vz-pair" aria-label="{html.escape(label)}">{inner}</section>'


def picture(path: Path, description: str) -> str:
    """A picture with a description for those who do not see it."""
    text = html.escape(description)
    return f'<img class="vz-picture" src="{html.escape(file_address(path))}" alt="{text}">'


def message(text: str, *, alert: bool = False) -> str:
    """A sentence that a screen reader reads when it appears."""
    if not text:
        return ""
    return f'<p class="vz-message" role="{"alert" if alert else "status"}">{html.escape(text)}</p>'


def note(text: str) -> str:
    """A remark."""
    return f'<p class="vz-note">{html.escape(text)}</p>'


def clip_table(clips: Sequence[ClipWorth], remarks: Sequence[str]) -> str:
    """What each clip is worth, and all of them together."""
    if not clips:
        return note("No clip yet.")
    rows = "".join(
        f'<tr><th scope="row">{html.escape(clip.name)}</th><td>{clip.speech_seconds:.1f} s</td>'
        f"<td>{clip.level_dbfs:.0f} dB</td><td>{clip.range_db:.0f} dB</td>"
        f"<td>{html.escape('; '.join(clip.remarks)) or 'good'}</td></tr>"
        for clip in clips
    )
    return (
        '<div class="vz-scroll" tabindex="0" role="region" aria-label="Clips"><table class="vz-table">'
        f"<caption>{counted(len(clips), 'clip')}</caption><thead><tr>"
        '<th scope="col">clip</th><th scope="col">speech</th><th scope="col">level</th>'
        '<th scope="col">above the noise</th><th scope="col">remarks</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>" + "".join(message(remark) for remark in remarks)
    )
