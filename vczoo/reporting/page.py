"""Rendering of a report as one HTML file that needs nothing else: no script, no font, no address."""

from __future__ import annotations

from pathlib import Path

from vczoo.io.plotting import DARK
from vczoo.io.text import harmless
from vczoo.reporting.blocks import Page
from vczoo.reporting.figures import VARIABLES

__all__ = ["GENERATOR", "render"]

TEMPLATE, STYLE = "page_template.html", "page.css"
GENERATOR = '<meta name="generator" content="vczoo report">'  # by which an earlier report is known


def render(page: Page) -> str:
    """Render a page as HTML. Every text of it is escaped; only `Figure.svg` is taken as it is."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_visible,
    )
    colors = {
        "light": {variable: color for color, variable in VARIABLES.items()},
        "dark": {variable: DARK[color] for color, variable in VARIABLES.items()},
    }
    style = environment.get_template(STYLE).render(colors)
    return environment.get_template(TEMPLATE).render(page=page, style=style, generator=GENERATOR)


def _visible(value: object) -> object:
    """Escape what does not print in a text, such as marks that turn the direction of writing."""
    return harmless(value, "\n\t") if type(value) is str else value
