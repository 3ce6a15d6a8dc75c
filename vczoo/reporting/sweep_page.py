"""A page on a sweep: its table, the means over seeds, the plots, and the settings that all cells share."""

from __future__ import annotations

from pathlib import Path

from vczoo.data.columns import SPLITS
from vczoo.io.plain_yaml import dump_plain
from vczoo.io.text import counted
from vczoo.reporting.blocks import Block, Code, Figure, Page, Section, Text, table_of
from vczoo.reporting.figures import inline_svg
from vczoo.training.sweeps.measures import SIMILARITY
from vczoo.training.sweeps.plots import table_figures
from vczoo.training.sweeps.state import SWEEP, State, read_state
from vczoo.training.sweeps.summary import texts, texts_of_means
from vczoo.training.sweeps.table import Table

__all__ = ["is_sweep", "sweep_page"]

MOST_FIGURES = 24
LONGEST_RECIPE = 20_000  # characters


def is_sweep(folder: Path) -> bool:
    """Whether a folder has a sweep."""
    return (folder / SWEEP).is_file()


def sweep_page(folder: Path) -> Page:
    """Make the page of a sweep, which may be unfinished.

    Raises:
        RunError: Its sweep.json is damaged, or was written by another version of vczoo.
    """
    state = read_state(folder)
    table = Table.of(state, _shown(state))
    done = sum(row.status == "done" for row in table.rows)
    axes = ", ".join(axis.name for axis in table.axes)
    lead = f"{counted(len(table.rows), 'cell')}, {done} of them trained, over {axes}."
    notes = tuple(Text(str(note)) for note in state.about.get("notes", ()))
    rows = [{"cell": row.name, **text} for row, text in zip(table.rows, texts(table), strict=True)]
    tables: list[Block] = [table_of("Each cell: its settings and its figures", rows)] if rows else []
    if means := texts_of_means(table):
        tables.append(table_of("Mean ± standard deviation over seeds", means))
    sections = [Section("results", "Results", (*notes, *tables) or (Text("No cell has been trained yet."),))]
    sections.append(Section("plots", "Plots", _figures(table, state) or (Text("No cell has a figure to plot yet."),)))
    recipes = tuple(
        Code(f"The recipe {name}, as YAML", dump_plain(recipe)[:LONGEST_RECIPE])
        for name, recipe in state.shared.get("recipes", {}).items()
    )
    overrides = ", ".join(map(str, state.shared.get("overrides", ())))
    settings = Text(f"All cells have {overrides}." if overrides else "No settings are changed for all cells.")
    sections.append(Section("settings", "Settings of all cells", (settings, *recipes)))
    return Page(f"Sweep {folder.resolve().name}", lead, tuple(sections))


def _shown(state: State) -> list[str] | None:
    """The figures in the table that the sweep wrote, so that the page has the same; None for all."""
    columns = [column.partition("_") for column in (state.table[0] if state.table else ())]
    shown = {figure for split, _, figure in columns if split in SPLITS}
    metrics = [cell.get("metrics", {}) for cell in state.cells.values()]
    names = {name for figures in metrics for split in SPLITS for name in (figures.get(split) or {})} | {SIMILARITY}
    # A column has an underscore where the name of a figure has a dot.
    return [name for name in sorted(names) if name.replace(".", "_") in shown] or None


def _figures(table: Table, state: State) -> tuple[Block, ...]:
    sampled = "sampling" in state.about
    figures: list[Block] = []
    for number, (name, figure) in enumerate(table_figures(table, state.yardsticks, sampled=sampled)):
        if number == MOST_FIGURES:
            return (*figures, Text("Further plots are in the folder plots of the sweep."))
        measure, _, axis = name.partition("-by-")
        svg = inline_svg(figure, f"plot{number}", f"Plot of {measure} over {axis}; the table above has its values.")
        figures.append(Figure(svg, f"{measure} by {axis}"))
    return tuple(figures)
