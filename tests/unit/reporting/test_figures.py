"""Plots in a page: ids that do not clash, colors that follow the page, and names that stay text."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.support.html_page import parse_page
from vczoo.io.plotting import BLUE, DARK, INK, one_axes, set_title
from vczoo.reporting.blocks import Figure, Page, Section
from vczoo.reporting.figures import VARIABLES, inline_svg, shortened
from vczoo.reporting.page import render


def drawn(name: str, label: str = "a") -> str:
    figure, axes = one_axes(3.0, 2.0)
    axes.plot([1, 2], [3, 4], color=BLUE, label=label)
    axes.legend(labelcolor=INK)
    set_title(axes, label)
    return inline_svg(figure, name, f"Plot of {label}")


def test_two_plots_of_a_page_share_no_id() -> None:
    blocks = tuple(Figure(drawn(name), "caption") for name in ("one", "two"))
    page = parse_page(render(Page("t", "l", (Section("s", "S", blocks),))))
    assert len(page.all("svg")) == 2


def test_colors_are_those_of_the_page() -> None:
    svg = drawn("a")
    assert "var(--blue)" in svg
    assert "var(--ink)" in svg
    assert not [color for color in VARIABLES if color in svg]
    text = render(Page("t", "l"))
    assert all(f"--{name}: {color};" in text for color, name in VARIABLES.items())
    assert all(f"--{VARIABLES[color]}: {dark};" in text for color, dark in DARK.items())


@pytest.mark.parametrize("name", ["<script>x</script>", 'id="a" url(#b)', "]]>&amp;", "$x$", "a" * 200])
def test_a_name_in_a_plot_is_text(name: str) -> None:
    root = ElementTree.fromstring(drawn("a", name))
    assert root.attrib["aria-label"] == f"Plot of {name}"
    texts = ["".join(text.itertext()) for text in root.iter("text")]
    assert name in texts
    assert not list(root.iter("script"))
    assert not list(root.iter("style"))


def test_names_are_cut_to_fit() -> None:
    assert shortened("alice") == "alice"
    assert len(shortened("a" * 100)) == 28
    assert shortened("\u202ea") == "\\u202ea"
