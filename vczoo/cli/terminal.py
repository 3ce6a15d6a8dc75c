"""Arguments and terminal output that the commands share."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.console import Console
from rich.table import Table

from vczoo.cli.launch import leads
from vczoo.errors import AudioWarning, VoiceWarning
from vczoo.io.deprecation import VczooDeprecationWarning
from vczoo.io.files import is_folder_with
from vczoo.io.log import is_quiet
from vczoo.io.text import harmless

if TYPE_CHECKING:
    from vczoo.conversion.converter import Converter

__all__ = [
    "Cache",
    "Channel",
    "Data",
    "Device",
    "NoCache",
    "Overrides",
    "RunName",
    "Speaker",
    "as_run",
    "exit_on_signals",
    "flushed",
    "interruptible",
    "is_terminal",
    "load_run",
    "open_closed_streams",
    "print_line",
    "print_note",
    "print_table",
    "print_warnings",
    "terminal_width",
]

RETRY_SECONDS = 0.01  # of a signal that arrived where no exception may be raised

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings to change: training.epochs=3")
]

Speaker = Annotated[
    str | None,
    typer.Option("--voice", help="Whose voice single recordings in --data are.", show_default="none"),
]

Data = Annotated[
    list[Path], typer.Option(help="A folder SPEAKER/*.wav, a manifest, or with --voice a recording; repeatable.")
]

Cache = Annotated[
    Path | None, typer.Option(help="Cache folder for the output of frozen stages. Default: the user's cache.")
]

NoCache = Annotated[bool, typer.Option("--no-cache", help="Cache nothing; run the frozen stages in every epoch.")]

Channel = Annotated[
    str | None,
    typer.Option(help="Channel of a stereo recording: left, right or mix. Default: their average, if it has sound."),
]

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or owner/name[@revision] on the Hub.")]

Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda or mps. Default: a GPU if there is one.")]


def open_closed_streams() -> None:
    """Replace standard streams that are closed, as by `>&-`, so that printing to them does nothing."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the process ends


def flushed() -> bool:
    """Flush the standard streams, and return whether that worked.

    What a stream cannot write is dropped, because Python would try again when it exits, and print a traceback.
    """
    worked = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            worked = False
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return worked


def exit_on_signals() -> None:
    """Turn SIGTERM and SIGHUP into an exit of Python, so that partly written files and temporary folders are removed.

    A signal that is ignored, as by `nohup`, stays ignored.
    """
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _exit)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    if _in_callback(frame) and hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda _, later: _exit(number, later))
        signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS)
        return
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    # `timeout` and a shell that ends send a signal twice, and the second one would interrupt the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _in_callback(frame: FrameType | None) -> bool:
    """Whether C calls this Python code through soundfile, which drops an exception that is raised there."""
    while frame is not None:
        if frame.f_code.co_name.startswith("vio_"):
            return True
        frame = frame.f_back
    return False


def as_run(name: str) -> str | Path:
    """Return a path if the name is an existing run folder, so that it needs no ./ on the command line."""
    return Path(name) if is_folder_with(Path(name), "vczoo.yaml") else name


def load_run(name: str, device: str | None) -> Converter:
    """Load a run as the person names it."""
    from vczoo.conversion.load import load

    return load(as_run(name), device=device)


def print_table(rows: list[dict[str, str]]) -> None:
    """Print a table. On a terminal that is too narrow for its words, print a block of lines for each row instead.

    Args:
        rows: At least one row. The keys of the first row are the column names.
    """
    console = Console(markup=False, emoji=False)  # names may come from others, and must not be read as markup
    if console.is_terminal and _least_width(rows) > console.width:
        for row in rows:
            first, *rest = (f"{name}: {harmless(value)}" for name, value in row.items() if value)
            print_line("\n  ".join([first, *rest]))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="fold", no_wrap=not console.is_terminal)
    for row in rows:
        table.add_row(*(harmless(value) for value in row.values()))
    if not console.is_terminal:  # other programs read the output, so lines are not wrapped
        longest = [max(len(harmless(text)) for text in (name, *(row[name] for row in rows))) for name in rows[0]]
        width = max(80, sum(longest) + 2 * len(longest) + 80)
        console = Console(width=width, markup=False, emoji=False)
    console.print(table, highlight=False)


def _least_width(rows: list[dict[str, str]]) -> int:
    """Columns that a table takes if no word is broken."""
    words = [[word for text in (name, *(row[name] for row in rows)) for word in text.split()] for name in rows[0]]
    return sum(max(map(len, column), default=0) for column in words) + 2 * (len(words) - 1)


def is_terminal() -> bool:
    """Whether standard output is a terminal rather than a pipe or a file."""
    return sys.stdout.isatty()


@contextmanager
def interruptible(outcome: str) -> Iterator[None]:
    """Context manager that turns Ctrl-C into a message and exit status 130.

    Args:
        outcome: What is left after the interruption, as the end of the message "interrupted; …".
    """
    try:
        yield
    except KeyboardInterrupt:
        print_line(f"interrupted; {outcome}", to_stderr=True)
        raise typer.Exit(130) from None


def terminal_width() -> int:
    """Number of columns of the terminal, at least 40; `COLUMNS` overrides it."""
    return max(40, shutil.get_terminal_size().columns)


def print_line(text: str, *, to_stderr: bool = False) -> None:
    """Print text, followed by exactly one line break."""
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(harmless(text.rstrip("\n"), "\n\t") + "\n")


def print_note(text: str) -> None:
    """Print a remark or a line of progress on standard error, unless --quiet was chosen."""
    if not is_quiet():
        print_line(text, to_stderr=True)


def print_warnings() -> None:
    """Show vczoo's own warnings as one line each on standard error from now on.

    The default format would quote a line of vczoo's own code.
    """
    show = warnings.showwarning

    def show_line(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, VczooDeprecationWarning | AudioWarning | VoiceWarning):
            show(message, category, filename, lineno, file, line)
        elif leads():
            print_line(f"warning: {message}", to_stderr=True)

    warnings.showwarning = show_line
