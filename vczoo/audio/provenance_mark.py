"""`Mark`: what a converted file says of itself, that it is synthetic and what made it; one line of text in, or out.

    synthetic speech (vczoo 0.1.0; recipe demo; run 3fa9c0; voice alice)
    synthetic speech (vczoo 0.1.0; recipe "my recipe"; voice alice:0.7, "B;ob":0.3)

A name that is not letters, digits and `_.+@/-` alone stands in quotes, with JSON's escapes for quotes, backslashes
and all that is not printable.
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
LONGEST_NAME = 180  # bytes as it is written; libsndfile reads no comment of a WAV beyond 2,047
MOST_VOICES = 6  # of a mix that are written by name
REST = "…"  # stands for what was cut off: a name's end, or the other voices
REPLACEMENT = "\ufffd"  # what bytes that are not UTF-8 are read as; in a name it is escaped

_BARE = r"[\w.+@/-]+"
_NAME = rf'(?:{_BARE}|"(?:[^"\\]|\\.)*")'
_SHARE = rf"{_NAME}:[0-9][0-9.e+-]*"
_FIELD = rf"; ([a-z]+) ({_SHARE}(?:, {_SHARE})*|{_NAME})"
_LINE = re.compile(rf"synthetic speech \((vczoo {_NAME}(?:{_FIELD})*)\)")


@dataclass(frozen=True)
class Mark:
    """That a recording is synthetic speech, and what made it. It is a statement and no proof: anybody can remove it.

    Attributes:
        recipe: name of the recipe.
        shares: of each voice; a single one has 1.
        run: what identifies the run; empty where there is none, as of a recipe with enrolled voices.
        vczoo: version that made it.
    """

    recipe: str
    shares: Mapping[str, float] = field(hash=False)
    run: str = ""
    vczoo: str = field(default_factory=lambda: metadata.version("vczoo"))

    def __str__(self) -> str:
        return self.line()

    @property
    def voice(self) -> str:
        """The voice, or the mix as `convert` takes it: alice:0.7,bob:0.3."""
        if list(self.shares.values()) == [1.0]:
            return next(iter(self.shares))
        return ",".join(f"{name}:{float(share)!r}" for name, share in self.shares.items())

    def line(self, *, ascii_only: bool = False) -> str:
        """One line of printable text, of less than 2,000 bytes: a long name is cut, of a mix the largest shares stay.

        Args:
            ascii_only: whether other characters are escaped, for a format that cannot say how it is encoded.
        """
        fields = {"vczoo": self.vczoo, "recipe": self.recipe, "run": self.run}
        told = [f"{word} {_written(value, ascii_only)}" for word, value in fields.items() if value]
        if list(self.shares.values()) == [1.0]:
            told.append(f"voice {_written(self.voice, ascii_only)}")
        elif self.shares:
            mix = _largest(self.shares).items()
            told.append("voice " + ", ".join(f"{_written(name, ascii_only)}:{float(share)!r}" for name, share in mix))
        return f"synthetic speech ({'; '.join(told)})"

    @classmethod
    def parse(cls, text: str) -> Mark | None:
        """Read a line back; None for any other text. Fields that a later vczoo adds are passed over."""
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
    """A name as it stands in a line, cut to a bounded number of bytes."""
    whole = _escaped(name, ascii_only)
    if len(whole.encode()) <= LONGEST_NAME:
        return whole
    kept = LONGEST_NAME
    while len((whole := _escaped(name[:kept] + REST, ascii_only)).encode()) > LONGEST_NAME:
        kept -= 1
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
    """The shares, or the largest of many and the sum of the others under "…"."""
    if len(shares) <= MOST_VOICES:
        return dict(shares)
    kept = sorted(shares, key=lambda name: -shares[name])[: MOST_VOICES - 1]
    rest = sum(share for name, share in shares.items() if name not in kept)
    return {name: shares[name] for name in kept} | {REST: float(f"{rest:.4g}")}


def _read_name(text: str) -> str:
    """What was written.

    Raises:
        ValueError: it is several, or an escape is none of JSON's.
    """
    if not re.fullmatch(_NAME, text):
        raise ValueError("several names")
    return str(json.loads(text)) if text.startswith('"') else text


def _read_shares(text: str) -> dict[str, float]:
    """Each voice's share.

    Raises:
        ValueError: an escape or a number is none, or a name stands twice.
    """
    if not text:
        return {}
    if re.fullmatch(_NAME, text):
        return {_read_name(text): 1.0}
    pairs = [part.rpartition(":") for part in re.findall(_SHARE, text)]
    shares = {_read_name(name): float(share) for name, _, share in pairs}
    if len(shares) < len(pairs) or not all(0 < share < math.inf for share in shares.values()):
        raise ValueError("a name stands twice, or a share is no share")
    return shares
