"""The command that writes a report, and the report that other commands add to what they write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vczoo.cli.terminal import Device, as_run, interruptible, print_line, print_note
from vczoo.errors import VczooError

if TYPE_CHECKING:
    from vczoo.conversion.converter import Converter

__all__ = ["COMMANDS", "add_report"]


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="A run, the folder of a sweep, or a folder that evaluate wrote to. Several runs are compared.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The .html file to write. Default: report.html in the folder; a comparison needs one."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Recordings to convert and recognize; their test split is used. Repeatable.",
            show_default="the run's own",
        ),
    ] = None,
    device: Device = None,
) -> None:
    """Write a page about a run that opens without a network: sounds, curves, confusions, voices, license.

    A sweep or an evaluation gets one, too. Two to six runs are compared on one page.
    """
    from vczoo.reporting.write import write_report

    with interruptible("no report was written"):
        names = [_location(run) for run in runs]
        path = write_report(names[0] if len(names) == 1 else names, out, data=data, device=device)
    print_line(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser")


def add_report(of: Converter | Path) -> Path | None:
    """Write the report of what a command has just finished. If that fails, say so in a line and go on."""
    try:
        from vczoo.reporting.write import write_report

        return write_report(of)
    except (VczooError, OSError, ImportError) as error:
        reason = " ".join(str(error).split())
        print_note(f"there is no report.html: {reason}")
        return None


def _location(name: str) -> str | Path:
    """A path if the name is an existing folder with results, so that it needs no ./ on the command line."""
    from vczoo.reporting.evaluation_page import is_evaluation
    from vczoo.reporting.sweep_page import is_sweep

    folder = Path(name)
    return folder if is_sweep(folder) or is_evaluation(folder) else as_run(name)


COMMANDS: dict[str, Callable[..., None]] = {"report": report}
