"""Word and character errors between two transcripts, after text normalization."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from vczoo.errors import UnknownNameError
from vczoo.io.optional_imports import require
from vczoo.io.text import nearest

__all__ = ["NORMALIZERS", "Errors", "count_errors", "load_normalizer", "normalise"]

NORMALIZERS = ("basic", "whisper-english")

_APOSTROPHES = re.compile("(?<=\\w)['\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}](?=\\w)")
_ASIDES = re.compile(r"\[[^\]]*\]|\([^)]*\)")


@dataclass(frozen=True)
class Errors:
    """Numbers of errors (substitutions, deletions and insertions), and the size of the reference.

    Attributes:
        words: Number of word errors.
        of_words: Number of words in the reference.
        characters: Number of character errors; spaces between words count as characters.
        of_characters: Number of characters in the reference.
    """

    words: int
    of_words: int
    characters: int
    of_characters: int


def normalise(text: str) -> str:
    """Normalize text for comparison: remove what two transcripts of the same speech may spell differently.

    The text becomes NFKC in lower case. Text in brackets and apostrophes inside a word are removed ("don't" becomes
    "dont"). Every other character that is not a letter, mark or digit becomes a space, and runs of spaces become one.
    Numbers stay as they are written, so "2" is not "two".

    Source:
        After Whisper's basic normalizer (Radford et al. 2022, appendix C), which keeps no apostrophes either.
    """
    text = _ASIDES.sub(" ", unicodedata.normalize("NFKC", text).lower())
    text = _APOSTROPHES.sub("", text)
    characters = (char if unicodedata.category(char)[0] in "LMN" else " " for char in text)
    return " ".join("".join(characters).split())


@cache
def load_normalizer(name: str = "basic") -> Callable[[str], str]:
    """Load a text normalizer by name.

    Args:
        name: `basic` is `normalise`. `whisper-english` is Whisper's English normalizer (Radford et al. 2022, appendix
            C; the package whisper-normalizer): it also drops fillers such as "um", expands contractions, and unifies
            numbers and British and American spelling. Most papers that use Whisper as ASR normalize with it.

    Raises:
        UnknownNameError: There is no normalizer of that name.
        PluginError: whisper-normalizer is not installed.
    """
    if name == "basic":
        return normalise
    if name == "whisper-english":
        library = require("whisper_normalizer.english", "the normalizer whisper-english", "eval")
        normalizer: Callable[[str], str] = library.EnglishTextNormalizer()
        return normalizer
    raise UnknownNameError(
        f"no text normalizer is called {name!r}{nearest(name, NORMALIZERS)} There are: {', '.join(NORMALIZERS)}"
    )


def count_errors(reference: str, hypothesis: str, normalizer: Callable[[str], str] = normalise) -> Errors:
    """Count the fewest edits that turn the reference into the hypothesis, after normalizing both (jiwer).

    Compute rates at corpus level: the sum of errors over the sum of words. Against an empty reference, every word and
    character of the hypothesis is an error.

    Raises:
        PluginError: jiwer is not installed.
    """
    jiwer = require("jiwer", "the word error rate", "eval")
    reference, hypothesis = normalizer(reference), normalizer(hypothesis)
    num_words = len(reference.split())
    if not reference:
        return Errors(len(hypothesis.split()), 0, len(hypothesis), 0)
    if not hypothesis:  # older versions of jiwer reject an empty hypothesis
        return Errors(num_words, num_words, len(reference), len(reference))
    words = jiwer.process_words(reference, hypothesis)
    characters = jiwer.process_characters(reference, hypothesis)
    return Errors(
        words.substitutions + words.deletions + words.insertions,
        num_words,
        characters.substitutions + characters.deletions + characters.insertions,
        len(reference),
    )
