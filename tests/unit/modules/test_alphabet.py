"""How a text is spelled in an alphabet, and what is told of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vczoo.modules.alphabet import LETTERS, spelled


@pytest.mark.parametrize(
    ("text", "alphabet", "written", "lacking"),
    [
        ("Hello,  World!", LETTERS, "hello world", ""),
        ("HELLO", "HELO", "HELLO", ""),
        ("hello", "HELO", "HELLO", ""),
        ("Aa", "Aa", "Aa", ""),  # an alphabet may have both cases
        ("don\N{RIGHT SINGLE QUOTATION MARK}t", LETTERS, "don't", ""),
        ("don't", "dont ", "don t", ""),
        ("well-known\n\ttwo", LETTERS, "well known two", ""),
        ("a b", "ab", "ab", ""),
        ("2 cats & 10 %", LETTERS, "cats", "2&10%"),
        ("cafe\u0301", LETTERS, "caf", "é"),
        ("cafe\u0301", LETTERS + "é", "café", ""),
        ("Straße", LETTERS, "strasse", ""),
        ("Straße", LETTERS + "ß", "straße", ""),
        ("soft\u00adhyphen\u200b", LETTERS, "softhyphen", ""),
        ("wrong \ufffd bytes", LETTERS, "wrong bytes", "\ufffd"),
        ("", LETTERS, "", ""),
    ],
)
def test_spelling(text: str, alphabet: str, written: str, lacking: str) -> None:
    assert spelled(text, alphabet) == (written, lacking)


@given(st.text(max_size=30), st.sampled_from([LETTERS, "abc", "ABC é", "0123456789 "]))
def test_what_is_written_is_of_the_alphabet_and_stays_as_it_is(text: str, alphabet: str) -> None:
    written, lacking = spelled(text, alphabet)
    assert set(written) <= set(alphabet)
    assert spelled(written, alphabet) == (written, "")
    assert not set(lacking) & set(alphabet)
