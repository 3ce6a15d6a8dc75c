"""Words and forms that the house style avoids, in the README and the docs, without code and decision records."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
]
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
AVOIDED = re.compile(
    r"\b(shall|mend(?:s|ed)?|gone on with|cannot be had|for ever|licences?|behaviours?|normalis\w+|recognis\w+)\b"
    r"|\d %|(?<![\w.])\.\d",
    re.IGNORECASE,
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_prose_has_no_avoided_words(page: Path) -> None:
    prose = CODE.sub("", page.read_text(encoding="utf-8"))
    assert [match[0] for match in AVOIDED.finditer(prose)] == []


@pytest.mark.parametrize("text", ["It shall work.", "6 %", "a cosine of .66", "the Licence"])
def test_avoided_words_are_found(text: str) -> None:
    assert AVOIDED.search(text)


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90
