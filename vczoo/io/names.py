"""Names of speakers and voices: which are allowed, which count as the same, and the file names made from them.

A name ends up in files, on terminals, in model cards and in file names, so it holds no character that these could take
for something else. It is checked wherever a name comes in: long before a training is saved.
"""

from __future__ import annotations

import unicodedata

__all__ = ["LONGEST_NAME", "as_name", "composed", "file_stem", "name_fault", "name_key"]

LONGEST_NAME = 200  # characters
LONGEST_STEM = 200  # bytes; file systems take 255, with a suffix
_JOINERS = "\u200c\u200d"  # Persian, Hindi and other languages need them inside words
_UNSAFE_IN_FILES = '<>:"|?*'  # not allowed on Windows


def name_fault(name: str) -> str:
    """Describe the fault of a speaker's or voice's name; "" if it is valid.

    A name has at most 200 printable characters, and at least one that is neither a space nor a dot. Spaces of all
    scripts are allowed inside, and the two joiners of Persian and Indic scripts. Slashes, backslashes, control
    characters, other invisible characters such as those that reverse the direction of text, and bytes that are not
    UTF-8 are not.
    """
    if not name.strip():
        return "the name is empty"
    if len(name) > LONGEST_NAME:
        return f"the name {name[:40]!r}… has {len(name)} characters, and at most {LONGEST_NAME} are allowed"
    if refused := next((character for character in name if not _is_allowed(character)), ""):
        return f"the name {name!r} holds {_describe(refused)}, which is not allowed in a name"
    if not any(character.isprintable() and character not in " ." for character in name):
        return f"the name {name!r} has only dots, spaces and joiners"
    return ""


def composed(text: str) -> str:
    """Normalize a name to Unicode's composed form (NFC): macOS decomposes file names, people type them composed."""
    return unicodedata.normalize("NFC", text).strip()


def name_key(name: str) -> str:
    """Return a text that is equal for names that look alike: they differ in case, spaces, joiners or Unicode form."""
    folded = unicodedata.normalize("NFC", composed(name).casefold())
    return " ".join("".join(character for character in folded if character not in _JOINERS).split())


def as_name(text: str) -> str:
    """Make a valid name of any text, such as the name of a file: what a name may not hold is escaped."""
    escaped = "".join(character if _is_allowed(character) else _escape(character) for character in text)
    name = escaped[:LONGEST_NAME]
    return name if not name_fault(name) else f"_{name}"[:LONGEST_NAME]


def file_stem(text: str) -> str:
    """Make a file name without its suffix from names: one part of a path, that is valid on every system.

    Characters that a name or a file name may not hold become underscores, and a long text is cut. So different names
    may give one file name.
    """
    allowed = (c if _is_allowed(c) and c not in _UNSAFE_IN_FILES else "_" for c in composed(text))
    safe = "".join(allowed)
    if safe.startswith("."):  # hidden, or the folder itself or the one above
        safe = f"_{safe[1:]}"
    return safe.encode()[:LONGEST_STEM].decode(errors="ignore") or "_"


def _is_allowed(character: str) -> bool:
    if character in "/\\":
        return False
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


def _describe(character: str) -> str:
    if character in "/\\":
        return "a slash" if character == "/" else "a backslash"
    if 0xDC80 <= ord(character) <= 0xDCFF:  # as Python decodes file names
        return "a byte that is not UTF-8"
    kind = {"Cc": "a control character", "Cs": "half a surrogate pair"}.get(unicodedata.category(character), "")
    title = unicodedata.name(character, "")
    return f"{kind or 'the invisible or unassigned character'} U+{ord(character):04X}{f' ({title})' if title else ''}"


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode().replace("\\", "_").replace("/", "_")
