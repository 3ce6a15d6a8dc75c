"""The command that averages the weights of runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from vczoo.cli.terminal import as_run, print_line

__all__ = ["COMMANDS"]


def average(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Two or more runs that began with one run.")],
    out: Annotated[Path, typer.Option(help="Folder of the new run.")],
    alpha: Annotated[
        float | None,
        typer.Option(help="Share of the second of two runs, 0 to 1.", show_default="the same share for all"),
    ] = None,
) -> None:
    """Average the weights of fine-tunes of one run, or of a run and its fine-tune."""
    from vczoo.conversion.weight_mean import average as average_runs

    converter = average_runs([as_run(run) for run in runs], out, alpha)
    print_line(f"{out}: the mean of {len(runs)} runs; voices: {', '.join(converter.voices) or 'none'}")


COMMANDS: dict[str, Callable[..., None]] = {"average": average}
