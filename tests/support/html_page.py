"""A strict reader of HTML pages: elements as a tree, and every fault of their nesting, names and links."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

__all__ = ["Element", "parse_page"]

VOID = {"meta", "link", "img", "br", "hr", "input", "source"}


@dataclass
class Element:
    """An element with its attributes, its own text and the elements in it."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        """Every element of that name below this one, in the order of the page."""
        own = [self] if self.tag == tag else []
        return own + [hit for child in self.children for hit in child.all(tag)]

    def named(self, name: str) -> Element:
        """The section that is labelled by the heading with this id."""
        return next(section for section in self.all("section") if section.attributes["aria-labelledby"] == name)

    @property
    def text(self) -> str:
        """All text in it."""
        return " ".join(" ".join(self.parts).split())

    @property
    def rows(self) -> list[list[str]]:
        """The rows of the tables in it, as text."""
        return [[cell.text for cell in row.children] for row in self.all("tr")]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("page", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.parts.append(data)


def parse_page(text: str) -> Element:
    """Parse a page, and check what makes it valid, offline and accessible.

    Raises:
        AssertionError: Elements are not nested, an id occurs twice, a link leads nowhere or out of the page, headings
            skip a level, a figure or a player has no name, or a table has no headings.
    """
    reader = _Reader()
    reader.feed(text)
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is not closed"
    root = reader.root
    elements = [element for tag in {e.tag for e in _every(root)} for element in root.all(tag)]
    ids = [element.attributes["id"] for element in elements if "id" in element.attributes]
    assert len(ids) == len(set(ids)), f"ids that occur twice: {sorted({i for i in ids if ids.count(i) > 1})[:5]}"
    for element in elements:
        for name in ("href", "xlink:href", "src", "srcset", "data", "action", "poster"):
            target = element.attributes.get(name, "")
            assert not target or target.startswith("data:") or target[1:] in ids, (
                f"<{element.tag} {name}={target[:60]}>"
            )
    assert not {"script", "iframe", "object", "embed", "form", "base", "link"} & {element.tag for element in elements}
    assert not [name for element in elements for name in element.attributes if name.startswith("on")]
    levels = [int(e.tag[1]) for e in _every(root) if e.tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    for element in [*root.all("svg"), *root.all("audio")]:
        assert element.attributes["aria-label"].strip()
    assert all(svg.attributes["role"] == "img" for svg in root.all("svg"))
    for table in root.all("table"):
        assert table.all("caption")
        assert all(cell.attributes["scope"] in {"col", "row"} for cell in table.all("th"))
        assert all(row.children[0].tag == "th" for row in table.all("tr"))
    assert root.all("html")[0].attributes["lang"] == "en"
    return root


def _every(element: Element) -> list[Element]:
    return [element, *(found for child in element.children for found in _every(child))]
