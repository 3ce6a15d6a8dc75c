"""README.ko.md keeps step with README.md: the same examples, links, recipes and figures."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.paths import ROOT

ENGLISH, KOREAN = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))
OWN_LINKS = {"README.md", "README.ko.md"}


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)


def links(text: str) -> set[str]:
    return set(re.findall(r"\]\(([^)]+)\)", text)) - OWN_LINKS


def code_spans(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)))


def figures(text: str) -> list[str]:
    return re.findall(r"\d\.\d+", "".join(re.findall(r"^\|.*$", text, re.MULTILINE)))


def headings(text: str) -> int:
    return len(re.findall(r"^## ", text, re.MULTILINE))


@pytest.mark.parametrize("part", [code_blocks, links, code_spans, figures, headings], ids=lambda part: part.__name__)
def test_both_readmes_have_the_same(part: Callable[[str], object]) -> None:
    assert part(KOREAN) == part(ENGLISH)


def test_it_is_short_and_each_links_to_the_other() -> None:
    assert len(KOREAN.splitlines()) <= 90
    assert "(README.md)" in KOREAN
    assert "(README.ko.md)" in ENGLISH
