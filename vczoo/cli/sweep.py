"""The sweep command, which trains a recipe for every combination of some settings and compares the results."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from vczoo.cli.json_output import Json, print_json
from vczoo.cli.report import add_report
from vczoo.cli.terminal import Cache, NoCache, Speaker, print_line, print_note, print_table
from vczoo.errors import VczooError

if TYPE_CHECKING:
    from vczoo.training.sweeps.plan import Plan
    from vczoo.training.sweeps.sweep import Sweep

__all__ = ["COMMANDS"]


def sweep(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECIPE [NAME=V1,V2]... [KEY=VALUE]...",
            help="A recipe or its .yaml file; more axes of the grid; settings of all cells: training.epochs=3",
            show_default=False,
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="Axis to vary: NAME=V1,V2. NAME is a setting of the recipe, minutes, seed or recipe; repeatable."
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="A folder SPEAKER/*.wav, a manifest, or with --voice a recording; repeatable."),
    ] = None,
    voice: Speaker = None,
    out: Annotated[Path | None, typer.Option(help="The folder to create, or to resume.")] = None,
    sampler: Annotated[
        str, typer.Option(help="Which cells: grid (all), random, or optuna, which learns from earlier cells.")
    ] = "grid",
    cells: Annotated[
        int | None, typer.Option(help="Number of cells that random and optuna train.", show_default=False)
    ] = None,
    sampler_seed: Annotated[int, typer.Option(help="Seed of random and optuna.")] = 0,
    prune_after: Annotated[
        int | None,
        typer.Option(help="Stop cells that are worse than the median after so many epochs.", show_default="never"),
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option(help="Metrics to show: accuracy, similarity, …", show_default="all")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of cells trained in parallel.", show_default="1")
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Train on a Ray cluster, each cell as a task.")] = False,
    cache: Cache = None,
    no_cache: NoCache = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps. Default: GPUs if there are any.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show the cells, but train nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Train a recipe for every combination of some settings, and compare the results in a table and plots.

    Run the same command again to train cells that are missing, failed or interrupted. Another grid adds cells.
    """
    from vczoo.training.sweeps.plan import plan_sweep
    from vczoo.training.sweeps.sampling import Sampler, Sampling
    from vczoo.training.sweeps.sweep import sweep as run_sweep

    recipe, axes, overrides = _split_words(words or (), grid or ())
    if not data or not out:
        raise VczooError("sweep needs --data (recordings) and --out (a folder to create)")
    chosen_by = cast(Sampler, sampler)  # plan_sweep checks it
    measures = [name.strip() for text in measure for name in text.split(",")] if measure else None
    if dry_run:
        plan = plan_sweep(
            recipe,
            data,
            out,
            axes,
            overrides,
            measures=measures,
            speaker=voice,
            sampling=Sampling(chosen_by, cells, sampler_seed),
            prune_after=prune_after,
        )
        _print_plan(plan, out, json)
        return
    try:
        result = run_sweep(
            recipe,
            data,
            out,
            axes,
            overrides,
            sampler=chosen_by,
            cells=cells,
            sampler_seed=sampler_seed,
            prune_after=prune_after,
            measures=measures,
            jobs=jobs,
            ray=ray,
            cache=False if no_cache else cache or True,
            device=device,
            say=print_note,
            speaker=voice,
        )
    except KeyboardInterrupt:
        print_line(f"interrupted; run the same command again to continue from {out}", to_stderr=True)
        raise typer.Exit(130) from None
    page = add_report(result.folder)
    if json:
        print_json({"folder": out, "cells": result.rows(), "means": result.means(), "notes": result.notes})
        raise typer.Exit(int(bool(result.failed)))
    _print_result(result, out, with_page=bool(page))


def _print_plan(plan: Plan, out: Path, json: bool) -> None:
    """Print the cells that a sweep would train."""
    from vczoo.training.sweeps.state import read_state

    state = read_state(out)
    if json:
        print_json({"notes": plan.lines(state), "cells": plan.rows(state)})
        return
    print_line("\n".join(plan.lines(state)))
    print_table(plan.rows(state))


def _print_result(result: Sweep, out: Path, *, with_page: bool) -> None:
    """Print a sweep's tables and notes. Exit with status 1 if a cell failed."""
    from vczoo.training.sweeps.summary import texts, texts_of_means

    for rows in (texts(result.table), texts_of_means(result.table)):
        if rows:
            _print_fitting(rows)
            print_line("")
    for note in result.notes:
        print_line(note)
    page, means = "report.html, " if with_page else "", "means.csv, " if result.means() else ""
    files = f"{page}table.csv, table.md, {means}sweep.json"
    print_line(f"{out}: {files}, {len(result.plots) // 2} plots (PNG and SVG), runs in cells/")
    if result.failed:
        count = f"{len(result.failed)} of {len(result.table.rows)} cells"
        print_line(f"error: {count} failed; run the same command again to retry them", to_stderr=True)
        raise typer.Exit(1)


def _print_fitting(rows: list[dict[str, str]]) -> None:
    """Print a table. On a terminal, break long headings after an underscore, and leave out columns that do not fit."""
    if not sys.stdout.isatty():
        print_table(rows)
        return
    headings = {name: re.sub(r"(?<=[_.])(?=[^_.])", "\n", name) for name in rows[0]}
    widths = {
        name: max(len(line) for text in (heading, *(row[name] for row in rows)) for line in text.split("\n"))
        for name, heading in headings.items()
    }
    shown = list(widths)
    while len(shown) > 1 and sum(widths[name] + 2 for name in shown) - 2 > shutil.get_terminal_size().columns:
        shown.pop()
    print_table([{headings[name]: row[name] for name in shown} for row in rows])
    if hidden := list(widths)[len(shown) :]:
        print_line(f"not shown, but in table.csv: {', '.join(hidden)}")


def _split_words(words: Sequence[str], grid: Sequence[str]) -> tuple[str | None, list[str], list[str]]:
    """Split words into the recipe, the axes and the settings of all cells. A word with several values is an axis."""
    from vczoo.training.sweeps.grid import is_axis

    recipes = [word for word in words if "=" not in word or Path(word).is_file()]
    rest = [word for word in words if word not in recipes]
    if len(recipes) > 1:
        raise VczooError(
            f"expected one recipe, got {', '.join(recipes)}; to compare recipes, use --grid recipe={','.join(recipes)}"
        )
    axes = [word for word in rest if is_axis(word)]
    return next(iter(recipes), None), [*grid, *axes], [word for word in rest if word not in axes]


COMMANDS: dict[str, Callable[..., None]] = {"sweep": sweep}
