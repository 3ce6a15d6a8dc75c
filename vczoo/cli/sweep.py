"""The command that compares: a recipe and a grid off a command line in; lines while it runs, and the table, out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from vczoo.cli.terminal import print_line, print_table
from vczoo.errors import VczooError

__all__ = ["COMMANDS"]


def sweep(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECIPE [NAME=V1,V2]... [KEY=VALUE]...",
            help="A recipe or its .yaml file; more of the grid; settings of all cells: training.epochs=3",
            show_default=False,
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(help="What is varied: NAME=V1,V2, a setting of the recipe, minutes, seed or recipe; repeatable."),
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="A folder SPEAKER/*.wav, or a .csv or .jsonl manifest; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to make, or to go on in.")] = None,
    measure: Annotated[
        list[str] | None, typer.Option(help="accuracy, similarity, …: figures to show.", show_default="all")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Cells that are trained at a time.", show_default="1")] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Train on Ray's cluster, each cell as a task.")] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for what frozen stages give; the user's cache if not given.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run frozen stages again in every epoch.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; GPUs where there are some.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show the cells, train none.")] = False,
) -> None:
    """Train a recipe for every combination of some settings, and compare: one table, and plots.

    The same command goes on with what is missing, failed or was interrupted; another grid adds cells.
    """
    from vczoo.training.sweeps.plan import plan_sweep
    from vczoo.training.sweeps.state import read_state
    from vczoo.training.sweeps.sweep import sweep as sweep_it

    recipe, axes, overrides = _told_apart(words or (), grid or ())
    if not data or not out:
        raise VczooError("sweep needs --data (recordings) and --out (a folder to make)")
    measures = [name.strip() for text in measure for name in text.split(",")] if measure else None
    if dry_run:
        plan, state = plan_sweep(recipe, data, out, axes, overrides, measures=measures), read_state(out)
        print_line("\n".join(plan.lines(state)))
        print_table(plan.rows(state))
        return
    try:
        found = sweep_it(
            recipe,
            data,
            out,
            axes,
            overrides,
            measures=measures,
            jobs=jobs,
            ray=ray,
            cache=False if no_cache else cache or True,
            device=device,
            say=print_line,
        )
    except KeyboardInterrupt:
        print_line(f"interrupted; the same command goes on from {out}", to_stderr=True)
        raise typer.Exit(130) from None
    print_table(found.brief())
    for note in found.notes:
        print_line(note)
    print_line(f"{out}: table.csv, table.md, sweep.json, {len(found.plots) // 2} plots (PNG and SVG), runs in cells/")
    if found.failed:
        count = f"{len(found.failed)} of {len(found.table.rows)} cells"
        print_line(f"error: {count} failed; the same command tries them again", to_stderr=True)
        raise typer.Exit(1)


def _told_apart(words: Sequence[str], grid: Sequence[str]) -> tuple[str | None, list[str], list[str]]:
    """The recipe, the axes and the settings of all cells: a word with several values is more of the grid."""
    from vczoo.training.sweeps.grid import is_axis

    recipes = [word for word in words if "=" not in word or Path(word).is_file()]
    rest = [word for word in words if word not in recipes]
    if len(recipes) > 1:
        raise VczooError(
            f"one recipe is swept, got {', '.join(recipes)}; several are an axis: --grid recipe={','.join(recipes)}"
        )
    axes = [word for word in rest if is_axis(word)]
    return next(iter(recipes), None), [*grid, *axes], [word for word in rest if word not in axes]


COMMANDS: dict[str, Callable[..., None]] = {"sweep": sweep}
