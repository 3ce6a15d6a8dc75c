"""Text from outside is shown as it is, but for what does not print."""

from __future__ import annotations

from pathlib import Path

import pytest

from vczoo.io.markdown import one_line
from vczoo.io.text import bulleted, counted, harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a.wav", "a.wav"),
        ("x\x1b]0;title\x07.wav", r"x\x1b]0;title\x07.wav"),
        ("a\nerror: b\r\tc", r"a\nerror: b\r\tc"),
        ("\x85\x9b2J", r"\x85\x9b2J"),
        ("\u202egpj.wav\u2066", r"\u202egpj.wav\u2066"),
        ("\u2028\ufeff\u00ad\ue000\udcff", r"\u2028\ufeff\xad\ue000\udcff"),
        (
            "Jos\u00e9 Jean\u00a0Luc \u7530\u4e2d\u3000\u592a\u90ce",
            "Jos\u00e9 Jean\u00a0Luc \u7530\u4e2d\u3000\u592a\u90ce",
        ),
        ("\u0646\u06cc\u200c\u0632 \U0001f468\u200d\U0001f469", "\u0646\u06cc\u200c\u0632 \U0001f468\u200d\U0001f469"),
    ],
)
def test_what_does_not_print_is_escaped(text: str, shown: str) -> None:
    assert harmless(text) == shown
    harmless(text).encode()
    assert "\x1b" not in one_line(text)


def test_line_breaks_may_stay_and_paths_are_text() -> None:
    assert harmless("a\nb\tc\x07", "\n\t") == "a\nb\tc\\x07"
    assert harmless(Path("a\nb")) == r"a\nb"


def test_a_list_below_its_title() -> None:
    assert bulleted("two", ["a", "b"]) == "two:\n  - a\n  - b"
    assert bulleted("three", ["a", "b", "c"], 1) == "three:\n  - a\n  - and 2 more"


def test_counts_of_things() -> None:
    assert [counted(number, "fault") for number in (0, 1, 2000)] == ["0 faults", "1 fault", "2,000 faults"]
