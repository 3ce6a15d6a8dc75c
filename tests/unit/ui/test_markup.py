from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from vczoo.ui.clip_worth import ClipWorth
from vczoo.ui.markup import clip_table, message, note, pair_player, picture, player, player_list

EVIL = "\"><script>alert('x')</script>&"


class Tags(HTMLParser):
    """Collects the tags, attributes and text of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.values: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [value or "" for _, value in attributes]

    def handle_data(self, data: str) -> None:
        self.values.append(data)


@pytest.mark.parametrize(
    "text",
    [
        message(EVIL),
        note(EVIL),
        player(Path(f"/work/{EVIL}.wav"), EVIL, download=EVIL),
        player_list(EVIL, []),
        pair_player(Path("/a.wav"), Path("/b.wav"), EVIL, EVIL),
        picture(Path("/a.png"), EVIL),
        clip_table([ClipWorth(EVIL, 1.0, -20.0, 30.0, (EVIL,))], [EVIL]),
    ],
    ids=["message", "note", "player", "list", "pair", "picture", "table"],
)
def test_names_from_outside_are_text(text: str) -> None:
    tags = Tags(text)
    assert "script" not in tags.tags
    assert any(EVIL in value for value in tags.values)


def test_addresses_are_relative_and_quoted() -> None:
    assert 'src="gradio_api/file=/tmp/a%20b%23.wav"' in player(Path("/tmp/a b#.wav"), "A")


def test_every_player_picture_and_table_has_a_name() -> None:
    assert 'aria-label="A: source"' in pair_player(Path("/a"), Path("/b"), "alice", "x.wav")
    assert 'alt="Mels"' in picture(Path("/a.png"), "Mels")
    assert "<caption>1 clip</caption>" in clip_table([ClipWorth("a", 1.0, -20.0, 30.0, ())], [])
    assert message("x", alert=True).count('role="alert"') == 1
    assert message("") == ""
