"""The site builds strictly, needs no network, and its reference holds what is public: all of it, once, explained."""

from __future__ import annotations

import builtins
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import griffe
import pytest

import vczoo
import vczoo.testing
from tests.support.paths import ROOT

PUBLIC = sorted(
    [f"vczoo.{name}" for name in vczoo.__all__] + [f"vczoo.testing.{name}" for name in vczoo.testing.__all__]
)
# What a browser fetches by itself to show a page.
FETCHED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "link": "href",
    "source": "src",
    "video": "src",
    "audio": "src",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def package() -> griffe.Module:
    loader = griffe.GriffeLoader(search_paths=[str(ROOT)])
    found = loader.load("vczoo")
    loader.resolve_aliases()
    assert isinstance(found, griffe.Module)
    return found


class Page(HTMLParser):
    """A page's text, and the addresses that a browser fetches to show it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.fetched = "", set[str]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if address := values.get(FETCHED.get(tag, "")):
            self.fetched.add(address)

    def handle_data(self, data: str) -> None:
        self.text += data


def page(site: Path, name: str) -> Page:
    return Page((site / name).read_text(encoding="utf-8"))


def test_a_notebook_is_a_page_and_a_file(site: Path) -> None:
    text = page(site, "tutorials/first-voice-notebook.html").text
    assert 'vczoo.finetune("base-partialfreeze"' in text
    assert (site / "tutorials" / "first-voice.ipynb").is_file()


def test_the_reference_holds_every_public_name_once() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs/reference").glob("*.md")))
    assert sorted(re.findall(r"^::: (\S+)$", text, re.MULTILINE)) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_public_has_a_docstring_of_its_own(name: str, package: griffe.Module) -> None:
    docstring = package[name.removeprefix("vczoo.")].docstring
    assert docstring is not None
    assert docstring.value.strip()


def test_an_error_that_a_public_docstring_names_is_public(package: griffe.Module) -> None:
    named = {error for name in PUBLIC for error in raised(package[name.removeprefix("vczoo.")])}
    assert {"VoiceError", "KeyboardInterrupt"} <= named
    assert {name for name in named if not hasattr(builtins, name)} <= set(vczoo.__all__)


def raised(found: griffe.Object | griffe.Alias) -> Iterator[str]:
    """The errors that a docstring names, its members' included."""
    for section in found.docstring.parse("google") if found.docstring else ():
        if section.kind is griffe.DocstringSectionKind.raises:
            for one in section.value:
                yield from re.findall(r"\w+", str(one.annotation))
    for name, member in found.members.items() if found.is_class else ():
        if not name.startswith("_"):
            yield from raised(member)


def test_signatures_and_docstrings_are_there(site: Path) -> None:
    convert = page(site, "reference/convert.html").text
    assert re.search(r"list_parts\(\s*kind: Kind \| None = None,\s*pattern: str = '\*',?\s*\) -> list\[str\]", convert)
    assert "Load a recipe (vgg16-partialfreeze), a run" in convert
    assert "conformance_tests(" in page(site, "reference/testing.html").text


def test_every_block_of_code_is_one(site: Path) -> None:
    """A fence whose first line the builder cannot read stays text, and the strict build says nothing of it."""
    assert [path.name for path in site.rglob("*.html") if "```" in page(site, str(path)).text] == []


def test_every_name_can_be_linked_to(site: Path) -> None:
    html = "".join(path.read_text(encoding="utf-8") for path in (site / "reference").glob("*.html"))
    assert set(PUBLIC) <= set(re.findall(r'id="([\w.]+)"', html))


def test_the_page_of_the_command_line_holds_commands_within_commands_and_their_options(site: Path) -> None:
    text = page(site, "reference/cli.html").text
    for expected in ("vczoo train", "--no-rehearse", "vczoo plugin check", "KEY=VALUE", "vczoo plugins install"):
        assert expected in text


def test_the_changelog_is_the_repositorys(site: Path) -> None:
    first = next(line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("- Backbones"))
    assert first.removeprefix("- ").replace("`", "") in page(site, "changelog.html").text


def test_no_page_fetches_anything_from_the_network(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    away = {address for path in pages for address in page(site, str(path)).fetched if "//" in address}
    assert not away
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.search(r"url\([\"']?(https?:)?//|@import", styles)


def test_the_search_finds_a_public_name(site: Path) -> None:
    found = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))["docs"]
    assert any(one["location"].endswith("#vczoo.finetune") for one in found)
    assert (site / "search/search_index.js").is_file()
