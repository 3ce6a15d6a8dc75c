"""Provenance mark of converted recordings: a line of text that says that a file is synthetic, and what made it.

    synthetic speech (vczoo 0.1.0; recipe demo; run 3fa9c0; voice alice)
    synthetic speech (vczoo 0.1.0; recipe "my recipe"; voice alice:0.7, "B;ob":0.3)

A name with other characters than letters, digits and `_.+@/-` is quoted. Quotes, backslashes and unprintable
characters in it are escaped as in JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata

__all__ = ["Mark"]

LONGEST_READ = 16_000  # characters
LONGEST_NAME = 180  # bytes with quotes and escapes; libsndfile reads at most 2,047 bytes of a WAV's comment
MOST_VOICES = 6  # voices of a mix that are written by name
REST = "…"  # replaces what was cut off: the end of a name, or the other voices
REPLACEMENT = "\ufffd"  # character that bytes outside UTF-8 are read as; in a name it is escaped

_BARE = r"[\w.+@/-]+"
_NAME = rf'(?:{_BARE}|"(?:[^"\\]|\\.)*")'
_SHARE = rf"{_NAME}:[0-9][0-9.e+-]*"
_FIELD = rf"; ([a-z]+) ({_SHARE}(?:, {_SHARE})*|{_NAME})"
_LINE = re.compile(rf"synthetic speech \((vczoo {_NAME}(?:{_FIELD})*)\)")


@dataclass(frozen=True)
class Mark:
    """Statement that a recording is synthetic speech, and what made it.

    It is not proof: anybody can remove it.

    Attributes:
        recipe: Name of the recipe.
        shares: Share of each voice in the mix, by name. A single voice has share 1.
        run: Identifier of the run. Empty if there is no run, as for a recipe with enrolled voices.
        vczoo: Version of vczoo that made the recording.
    """

    recipe: str
    shares: Mapping[str, float] = field(hash=False)
    run: str = ""
    vczoo: str = field(default_factory=lambda: metadata.version("vczoo"))

    def __str__(self) -> str:
        return self.line()

    @property
    def voice(self) -> str:
        """The voice, or the mix in the form that `convert` accepts: alice:0.7,bob:0.3."""
        if list(self.shares.values()) == [1.0]:
            return next(iter(self.shares))
        return ",".join(f"{name}:{float(share)!r}" for name, share in self.shares.items())

    def line(self, *, ascii_only: bool = False) -> str:
        """Format the mark as one line of printable text of less than 2,000 bytes.

        Long names are cut. Of a mix of many voices, only those with the largest shares are named.

        Args:
            ascii_only: Whether to escape characters outside ASCII, for file formats that do not state their encoding.
        """
        fields = {"vczoo": self.vczoo, "recipe": self.recipe, "run": self.run}
        entries = [f"{word} {_written(value, ascii_only)}" for word, value in fields.items() if value]
        if list(self.shares.values()) == [1.0]:
            entries.append(f"voice {_written(self.voice, ascii_only)}")
        elif self.shares:
            mix = _largest(self.shares).items()
            voices = (f"{_written(name, ascii_only)}:{float(share)!r}" for name, share in mix)
            entries.append("voice " + ", ".join(voices))
        return f"synthetic speech ({'; '.join(entries)})"

    @classmethod
    def parse(cls, text: str) -> Mark | None:
        """Parse such a line; return None for any other text. Fields that a later version of vczoo adds are ignored."""
        line = _LINE.fullmatch(text) if len(text) <= LONGEST_READ and text.isprintable() else None
        if not line or REPLACEMENT in text:
            return None
        pairs = [(word, value) for word, value in re.findall(_FIELD, f"; {line[1]}")]
        fields = dict(pairs)
        try:
            shares = _read_shares(fields.get("voice", ""))
            names = {word: _read_name(fields[word]) if word in fields else "" for word in ("vczoo", "recipe", "run")}
        except ValueError:
            return None
        return cls(**names, shares=shares) if len(fields) == len(pairs) else None


def _written(name: str, ascii_only: bool) -> str:
    """Format a name for the line, cut to at most `LONGEST_NAME` bytes."""
    whole = _escaped(name, ascii_only)
    if len(whole.encode()) <= LONGEST_NAME:
        return whole
    length = LONGEST_NAME
    while len((whole := _escaped(name[:length] + REST, ascii_only)).encode()) > LONGEST_NAME:
        length -= 1
    return whole


def _escaped(name: str, ascii_only: bool) -> str:
    if re.fullmatch(_BARE, name) and (name.isascii() or not ascii_only):
        return name
    return '"' + "".join(_escape(character, ascii_only) for character in name) + '"'


def _escape(character: str, ascii_only: bool) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable() and character != REPLACEMENT and (character.isascii() or not ascii_only):
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def _largest(shares: Mapping[str, float]) -> dict[str, float]:
    """Return the shares; if they are many, the largest, with the sum of the others under "…"."""
    if len(shares) <= MOST_VOICES:
        return dict(shares)
    largest = sorted(shares, key=lambda name: -shares[name])[: MOST_VOICES - 1]
    rest = sum(share for name, share in shares.items() if name not in largest)
    return {name: shares[name] for name in largest} | {REST: float(f"{rest:.4g}")}


def _read_name(text: str) -> str:
    """Unquote one name.

    Raises:
        ValueError: The text is not exactly one name, or contains an escape that JSON does not have.
    """
    if not re.fullmatch(_NAME, text):
        raise ValueError(f"not a single name: {text!r}")
    return str(json.loads(text)) if text.startswith('"') else text


def _read_shares(text: str) -> dict[str, float]:
    """Parse the share of each voice.

    Raises:
        ValueError: An escape or a number is invalid, or a name occurs twice.
    """
    if not text:
        return {}
    if re.fullmatch(_NAME, text):
        return {_read_name(text): 1.0}
    pairs = [part.rpartition(":") for part in re.findall(_SHARE, text)]
    shares = {_read_name(name): float(share) for name, _, share in pairs}
    if len(shares) < len(pairs) or not all(0 < share < math.inf for share in shares.values()):
        raise ValueError("a name occurs twice, or a share is not a positive, finite number")
    return shares
