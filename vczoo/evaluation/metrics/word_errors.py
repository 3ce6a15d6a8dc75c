"""Two transcripts in, the wrong words and characters out."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from vczoo.io.optional_imports import require

__all__ = ["Errors", "count_errors", "normalise"]

_APOSTROPHES = re.compile("(?<=\\w)['\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}](?=\\w)")
_ASIDES = re.compile(r"\[[^\]]*\]|\([^)]*\)")


@dataclass(frozen=True)
class Errors:
    """Substitutions, deletions and insertions against a reference, and how much the reference holds.

    Attributes:
        words: wrong words.
        of_words: words of the reference.
        characters: wrong characters, spaces between words among them.
        of_characters: characters of the reference.
    """

    words: int
    of_words: int
    characters: int
    of_characters: int


def normalise(text: str) -> str:
    """Text as it is compared: what two transcripts of the same speech may spell differently is taken out.

    Lower case, NFKC; what stands in brackets goes; an apostrophe inside a word goes ("don't" is "dont"); whatever
    is no letter, mark or digit becomes a space; runs of spaces become one. Numbers stay as they are written, so
    "2" is not "two".

    Source:
        After the basic normaliser of Whisper (Radford et al. 2022, appendix C), which keeps no apostrophes either.
    """
    text = _ASIDES.sub(" ", unicodedata.normalize("NFKC", text).lower())
    text = _APOSTROPHES.sub("", text)
    kept = (char if unicodedata.category(char)[0] in "LMN" else " " for char in text)
    return " ".join("".join(kept).split())


def count_errors(reference: str, hypothesis: str) -> Errors:
    """Count the least edits that make the reference the hypothesis, of both as `normalise` gives them (jiwer).

    Rates are to be made at corpus level: the sum of errors over the sum of words. Against an empty reference
    everything that was heard is wrong.

    Raises:
        PluginError: jiwer is not installed.
    """
    jiwer = require("jiwer", "the word error rate", "eval")
    said, heard = normalise(reference), normalise(hypothesis)
    if not said:
        return Errors(len(heard.split()), 0, len(heard), 0)
    if not heard:  # jiwer takes it, but only since some version
        return Errors(len(said.split()), len(said.split()), len(said), len(said))
    words, characters = jiwer.process_words(said, heard), jiwer.process_characters(said, heard)
    return Errors(
        words.substitutions + words.deletions + words.insertions,
        len(said.split()),
        characters.substitutions + characters.deletions + characters.insertions,
        len(said),
    )
