"""Text from outside in, such as voices' names; Markdown and HTML in which it stays text out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from urllib.parse import quote

__all__ = ["code", "escaped", "fenced", "link", "one_line", "table", "web_address"]

LONGEST = 300
_JOINERS = "\u200c\u200d"  # invisible, but words of Persian and Hindi and many emoji are spelt with them
# Punctuation anywhere; a colon of an address or of :joy:; and what begins a list or underlines a heading.
_SPECIAL = re.compile(r"""[\\`*_{}\[\]<>#!|&"~$@]|:(?=\S)|^[-+=]|^[0-9](?=[0-9]{0,8}[.)](?:\s|$))""")


def one_line(text: str, limit: int = LONGEST) -> str:
    """Text without line breaks, control characters, reversals of direction and lone surrogates, of bounded length."""
    kept = "".join(" " if _invisible(character) else character for character in text[: 4 * limit])
    line = " ".join(kept.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def escaped(text: str, limit: int = LONGEST) -> str:
    """Text for a line of Markdown, a cell of a table, HTML, or an attribute in double quotes.

    Punctuation that has a meaning in any of them becomes a numeric reference, which is never structure (CommonMark
    0.31, section 2.5); so one function serves all of them.
    """
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", one_line(text, limit))


def code(text: str) -> str:
    """Text as inline code. In HTML, since backticks in it and bars of a table around it need no care there."""
    return f"<code>{escaped(text)}</code>"


def link(text: str, url: str) -> str:
    """A link, or the text alone where the address is none of the web."""
    target = web_address(url)
    return f"[{escaped(text)}](<{target}>)" if target else escaped(text)


def web_address(url: str) -> str:
    """An http address that ends neither a link nor an attribute; "" for any other."""
    if not re.match(r"https?://[\w\[]", url, re.ASCII):
        return ""
    return quote(one_line(url, 2000), safe="/:?#=&%~+,;@")


def fenced(text: str, language: str) -> str:
    """A block of code whose fence is longer than any row of backticks in it."""
    lines = re.split(r"\r\n|\r|\n", text)
    kept = "\n".join("".join(c if c == "\t" or not _invisible(c) else " " for c in line) for line in lines).rstrip()
    longest = max((len(row) for row in re.findall("`+", kept)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{kept}\n{fence}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table of cells that are markup already; `left` columns are aligned to the left, the others to the right."""
    rules = ["---" if column < left else "---:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rules, *rows))


def _invisible(character: str) -> bool:
    category = unicodedata.category(character)
    return category in {"Cc", "Cs", "Zl", "Zp"} or (category == "Cf" and character not in _JOINERS)
