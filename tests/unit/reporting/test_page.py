"""Blocks of a page: each kind is written once, escaped, with what makes it accessible."""

from __future__ import annotations

from tests.support.html_page import parse_page
from vczoo.reporting.blocks import Code, Page, Player, Players, Section, Text, table_of
from vczoo.reporting.page import GENERATOR, render

HOSTILE = "<b onclick=x>'\"{{ 1 }}\u202e"
SHOWN = "<b onclick=x>'\"{{ 1 }}\\u202e"


def test_every_text_is_escaped() -> None:
    blocks = (
        Text(HOSTILE),
        table_of(HOSTILE, [{HOSTILE: HOSTILE, "b": HOSTILE}]),
        Players(HOSTILE, (Player(HOSTILE, "data:audio/mpeg;base64,", 1.0),)),
        Code(HOSTILE, HOSTILE),
    )
    page = parse_page(render(Page(HOSTILE, HOSTILE, (Section("a", HOSTILE, blocks),), HOSTILE)))
    assert page.text.count(SHOWN) == 15
    assert page.all("audio")[0].attributes["aria-label"] == SHOWN
    assert page.all("table")[0].rows == [[SHOWN, "b"], [SHOWN, SHOWN]]


def test_a_long_table_is_cut_and_says_so() -> None:
    table = table_of("c", [{"n": str(number)} for number in range(100)])
    assert (len(table.rows), table.total) == (60, 100)
    page = parse_page(render(Page("t", "l", (Section("a", "A", (table,)),))))
    assert "The first 60 of 100 rows." in page.text
    assert table_of("c", [{"n": "1"}] * 60).total == 0


def test_a_page_says_what_wrote_it_near_its_beginning() -> None:
    assert 0 < render(Page("t" * 200, "l")).find(GENERATOR) < 1000


def test_a_notice_comes_first_and_an_empty_one_not_at_all() -> None:
    assert parse_page(render(Page("t", "l", (), "Careful."))).all("header")[0].text.startswith("t l Careful.")
    assert "notice" not in render(Page("t", "l")).split("<body>")[1]
