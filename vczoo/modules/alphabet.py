"""Alphabets of text heads, and the normalization of texts to them.

This module does not import torch.
"""

from __future__ import annotations

import unicodedata

from vczoo.errors import ContractError

__all__ = ["LETTERS", "check_alphabet", "spelled"]

LETTERS = " 'abcdefghijklmnopqrstuvwxyz"
MOST_CHARACTERS = 20_000  # alphabets of Chinese and Japanese have several thousand
APOSTROPHES = "`\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}"
SPOKEN = "#%&@\N{SECTION SIGN}\N{PER MILLE SIGN}"  # punctuation in Unicode, but people read it aloud


def check_alphabet(alphabet: str) -> None:
    """Check that an alphabet is valid.

    Raises:
        ContractError: The alphabet is empty or too long, repeats a character, contains an unprintable character, or is
            not in Unicode's composed form (NFC), to which texts are converted before they are compared with it.
    """
    repeated: list[str] = []
    if len(alphabet) <= MOST_CHARACTERS:
        repeated = sorted({char for char in alphabet if alphabet.count(char) > 1})
    if not alphabet.strip() or len(alphabet) > MOST_CHARACTERS:
        raise ContractError(
            f"an alphabet must have 1 to {MOST_CHARACTERS} characters besides the space, got {len(alphabet)} in all"
        )
    if repeated:
        shown = "".join(repeated)[:40]
        raise ContractError(f"an alphabet must have each character only once; this one repeats {shown!r}")
    if not alphabet.isprintable() or unicodedata.normalize("NFC", alphabet) != alphabet:
        raise ContractError("an alphabet must have only printable characters, in Unicode's composed form (NFC)")


def spelled(text: str, alphabet: str) -> tuple[str, str]:
    """Normalize a text to the characters of an alphabet.

    The text is brought into composed form (NFC). Then each character is handled by the first rule that applies:

    - A character of the alphabet stays.
    - A letter that the alphabet has only in the other case takes that case.
    - A typographic apostrophe becomes a plain one, or a space if the alphabet has no apostrophe.
    - Other punctuation, separators and white space become a space.
    - A format character without width is dropped.

    Runs of spaces become one space, or nothing if the alphabet has no space. No other character is dropped: digits,
    `&`, `%` and letters of other scripts are reported as missing unless the alphabet has them.

    Returns:
        The normalized text, and all characters that the alphabet lacks, each as often as it occurs in the text.
    """
    allowed = frozenset(alphabet)
    characters: list[str] = []
    missing: list[str] = []
    for char in unicodedata.normalize("NFC", text):
        plain = "'" if char in APOSTROPHES else char
        candidates = (char, char.casefold(), char.upper(), plain)
        form = next((candidate for candidate in candidates if allowed.issuperset(candidate)), None)
        category = unicodedata.category(char)
        if form is not None:
            characters.append(form)
        elif char.isspace() or (category[0] in "PZ" and char not in SPOKEN) or char in APOSTROPHES:
            characters.append(" ")
        elif category != "Cf":
            missing.append(char)
    separator = " " if " " in allowed else ""
    return separator.join("".join(characters).split()), "".join(missing)
