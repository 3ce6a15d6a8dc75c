"""Plots inside a page: inline SVG whose colors follow the page's, in the light and in the dark."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from vczoo.io.plotting import BLUE, BROWN, DARK, GREEN, GREY, INK, LINE, ORANGE, PAPER, PURPLE, TEAL, svg_text
from vczoo.io.text import harmless

__all__ = ["VARIABLES", "inline_svg", "shortened"]

# The CSS variable of each color of a plot.
VARIABLES = {
    INK: "ink",
    GREY: "grey",
    BLUE: "blue",
    GREEN: "green",
    ORANGE: "orange",
    PURPLE: "purple",
    BROWN: "brown",
    TEAL: "teal",
    PAPER: "paper",
    LINE: "line",
}
assert set(VARIABLES) == set(DARK)
_COLOR = re.compile("|".join(VARIABLES))
_LINK = re.compile(r"url\(#([^)]*)\)")
SCALE = 1.5  # pixels of a page per point of a plot, where there is room: letters of 8 points have 12 pixels
LONGEST_LABEL = 28  # characters of a name in a plot


def inline_svg(figure: Any, name: str, alternative: str) -> str:
    """Draw a figure as SVG to be put into an HTML page.

    Args:
        figure: The figure.
        name: Prefix of all ids in it: letters, digits and hyphens, unique in the page.
        alternative: What the figure shows, for readers who do not see it.
    """
    root = ElementTree.fromstring(svg_text(figure))
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in {"metadata", "style", "title"}:  # a <style> here would apply to the whole page
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        attributes = {_local(key): value for key, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update({key: _rewritten(key, value, name) for key, value in attributes.items()})
    for unused in ("width", "height", "version"):
        root.attrib.pop(unused, None)
    # At most as wide as its letters are large: all plots of a page then have letters of one size.
    width = SCALE * float(root.attrib["viewBox"].split()[2])
    root.attrib |= {
        "class": "plot",
        "role": "img",
        "aria-label": harmless(alternative),
        "style": f"max-width: {width:.0f}px",
    }
    return ElementTree.tostring(root, encoding="unicode")


def shortened(name: str) -> str:
    """A name that fits into a plot."""
    name = harmless(name)
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…"


def _rewritten(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href" and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    value = _LINK.sub(lambda match: f"url(#{name}-{match[1]})", value)
    return _COLOR.sub(lambda match: f"var(--{VARIABLES[match[0]]})", value) if key == "style" else value


def _local(name: str) -> str:
    return name.rpartition("}")[2]
