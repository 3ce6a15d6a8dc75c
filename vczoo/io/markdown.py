"""Escaping of untrusted text, such as names of voices, for Markdown and HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from vczoo.io.text import is_invisible

__all__ = ["code", "escaped", "fenced", "link", "one_line", "table", "web_address"]

LONGEST = 300  # characters of a line of untrusted text
# Punctuation; a colon, as in a URL or in :joy:; and characters that begin a list or underline a heading.
_SPECIAL = re.compile(r"""[\\`*_{}\[\]<>#!|&"~$@]|:(?=\S)|^[-+=]|^[0-9](?=[0-9]{0,8}[.)](?:\s|$))""")


def one_line(text: str, limit: int = LONGEST) -> str:
    """One line of bounded length, without control characters, direction overrides or lone surrogates."""
    visible = "".join(" " if is_invisible(character) else character for character in text[: 4 * limit])
    line = " ".join(visible.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def escaped(text: str, limit: int = LONGEST) -> str:
    """Escape text for a line of Markdown, a table cell, HTML, or an attribute in double quotes.

    Punctuation with a meaning in any of them becomes a numeric character reference, which never counts as structure
    (CommonMark 0.31, section 2.5). One function therefore serves all of them.
    """
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", one_line(text, limit))


def code(text: str) -> str:
    """Text as inline code. This is HTML, in which backticks and the bars of a table need no special treatment."""
    return f"<code>{escaped(text)}</code>"


def link(text: str, url: str) -> str:
    """A link, or only the text if `url` is not a web address."""
    target = web_address(url)
    return f"[{escaped(text)}](<{target}>)" if target else escaped(text)


def web_address(url: str) -> str:
    """An http or https URL, quoted so that it cannot end a link or an attribute; "" for any other URL."""
    if not re.match(r"https?://[\w\[]", url, re.ASCII):
        return ""
    return quote(one_line(url, 2000), safe="/:?#=&%~+,;@")


def fenced(text: str, language: str) -> str:
    """A code block whose fence is longer than any run of backticks in the text."""
    lines = re.split(r"\r\n|\r|\n", text)
    visible = "\n".join(
        "".join(c if c == "\t" or not is_invisible(c) else " " for c in line) for line in lines
    ).rstrip()
    longest = max((len(run) for run in re.findall("`+", visible)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{visible}\n{fence}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table whose cells already are Markdown. The first `left` columns are left-aligned, the others right-aligned."""
    rules = ["---" if column < left else "---:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rules, *rows))
