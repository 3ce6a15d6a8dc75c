"""A text and an alphabet in; the text in the alphabet's characters, and the characters that it lacks, out. No torch."""

from __future__ import annotations

import unicodedata

from vczoo.errors import ContractError

__all__ = ["LETTERS", "check_alphabet", "spelled"]

LETTERS = " 'abcdefghijklmnopqrstuvwxyz"
MOST_CHARACTERS = 20_000  # of an alphabet; those of Chinese and Japanese have some thousands
APOSTROPHES = "`\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}"
SPOKEN = "#%&@\N{SECTION SIGN}\N{PER MILLE SIGN}"  # Unicode calls them punctuation; people read them aloud


def check_alphabet(alphabet: str) -> None:
    """See that an alphabet is one.

    Raises:
        ContractError: it is empty or too long, has a character twice, one that does not print, or is not in Unicode's
            composed form (NFC), in which texts are compared with it.
    """
    twice = sorted({char for char in alphabet if alphabet.count(char) > 1}) if len(alphabet) <= MOST_CHARACTERS else []
    if not alphabet.strip() or len(alphabet) > MOST_CHARACTERS:
        raise ContractError(f"an alphabet has 1 to {MOST_CHARACTERS} characters beside the space, got {len(alphabet)}")
    if twice:
        raise ContractError(f"an alphabet has each character once, got {''.join(twice)[:40]!r} more often")
    if not alphabet.isprintable() or unicodedata.normalize("NFC", alphabet) != alphabet:
        raise ContractError("an alphabet is of characters that print, in Unicode's composed form (NFC)")


def spelled(text: str, alphabet: str) -> tuple[str, str]:
    """Spell a text in an alphabet.

    In this order: composed form (NFC); what the alphabet has stays; a letter that it has in the other case alone takes
    that one; typographic apostrophes become plain ones; other punctuation, and whatever separates, becomes a space;
    what has no width goes. Runs of spaces become one, and none where the alphabet has no space. Nothing else is
    dropped: digits, `&`, `%` and letters of other scripts are lacking unless the alphabet has them.

    Returns:
        The text, and every character that the alphabet lacks, as often as it stands there.
    """
    known = frozenset(alphabet)
    kept: list[str] = []
    lacking: list[str] = []
    for char in unicodedata.normalize("NFC", text):
        plain = "'" if char in APOSTROPHES else char
        form = next((one for one in (char, char.casefold(), char.upper(), plain) if known.issuperset(one)), None)
        category = unicodedata.category(char)
        if form is not None:
            kept.append(form)
        elif char.isspace() or (category[0] in "PZ" and char not in SPOKEN) or char in APOSTROPHES:
            kept.append(" ")
        elif category != "Cf":
            lacking.append(char)
    separator = " " if " " in known else ""
    return separator.join("".join(kept).split()), "".join(lacking)
