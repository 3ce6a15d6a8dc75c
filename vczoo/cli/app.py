"""Entry point of the command line: its commands, exit statuses and error messages, and the demo.

Each command calls one function of the library and prints the result.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from vczoo.cli import (
    average,
    convert,
    doctor,
    evaluate,
    hub,
    plugin_kit,
    plugins,
    prepare,
    provenance,
    recipes,
    recognize,
    report,
    results,
    sweep,
    train,
    ui,
    voices,
)
from vczoo.cli.command_table import COMMAND_TABLE, Described
from vczoo.cli.help import Command, Group, epilog_of
from vczoo.cli.json_output import Json, json_requested, print_json, print_json_error
from vczoo.cli.launch import end_with_launcher, launched, leave
from vczoo.cli.terminal import (
    Device,
    exit_on_signals,
    flushed,
    interruptible,
    open_closed_streams,
    print_line,
    print_table,
    print_warnings,
)
from vczoo.cli.verbosity import debugging, restored_verbosity
from vczoo.errors import VczooError

UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h: an error of vczoo itself
BROKEN_PIPE = 128 + 13  # as a shell reports a process that SIGPIPE has ended

app = typer.Typer(
    name="vczoo",
    cls=Group,
    help="A model zoo for voice conversion by transfer learning.\n\nStart with `vczoo demo me.wav`, where me.wav is "
    "half a minute of you reading anything. `vczoo COMMAND -h` explains a command.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"vczoo {metadata.version('vczoo')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of vczoo itself."""


def demo(
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RECORDING",
            help="Recordings of one consenting person, or a folder of them. Without any, a synthetic voice is used.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to create. Default: vczoo-demo, or vczoo-demo-2 if that exists, ….")
    ] = None,
    voice: Annotated[str | None, typer.Option(help="Name of the voice.", show_default="you")] = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Try the bundled model on recordings of yours, offline: enroll, convert, fine-tune. Takes one to two minutes."""
    from vczoo.cli.demo import new_folder, run_demo

    folder = out or new_folder(Path("vczoo-demo"))
    with interruptible(f"{folder} has what was finished; you can remove it. Another run needs another folder"):
        result = run_demo(folder, recordings or (), voice, device=device)
    if json:
        figures = {row["what"]: row["value"] for row in result.rows}
        print_json({"figures": figures, "notes": result.notes, "files": result.files, "next": result.next_command})
        return
    print_table(result.rows)
    for line in (*result.notes, *map(str, result.files)):
        print_line(line)
    print_line(f"next: {result.next_command}")


COMMANDS: dict[str, Callable[..., None]] = {"demo": demo}
for group in (
    recipes,
    prepare,
    train,
    average,
    sweep,
    convert,
    voices,
    recognize,
    evaluate,
    report,
    results,
    provenance,
    doctor,
    hub,
    ui,
):
    COMMANDS |= group.COMMANDS
DESCRIBED = {name: described for commands in COMMAND_TABLE.values() for name, described in commands.items()}
for command_name, command in COMMANDS.items():
    summary, example = DESCRIBED.get(command_name, Described("", ""))
    app.command(command_name, cls=Command, short_help=summary or None, epilog=epilog_of(example) if example else None)(
        command
    )
for command_name, group_app in {"plugins": plugins.app, "plugin": plugin_kit.app}.items():
    summary, example = DESCRIBED[command_name]
    app.add_typer(group_app, name=command_name, short_help=summary, epilog=epilog_of(example))


def main() -> NoReturn:
    """Run the command line.

    A user's mistake, or a file or output that cannot be written, is printed as one message, and the exit status is 1; a
    mistake in the command line itself has status 2, and an error of vczoo status 70. With --json the message is JSON on
    standard output, and only --debug prints a traceback. If the reader of a pipe has gone, as in `vczoo list | head`,
    there is no message, and the status is 141, as if SIGPIPE had ended the process. SIGTERM, and SIGHUP of a terminal
    that closes, end a command as Ctrl-C does: files that it had begun are removed. The status is 143 or 129.
    """
    open_closed_streams()
    exit_on_signals()
    end_with_launcher()
    status = 0
    with warnings.catch_warnings(), restored_verbosity():
        print_warnings()
        try:
            try:
                _call()
            finally:
                sys.stdout.flush()
        except VczooError as error:
            status = _report(error, str(error))
        except BrokenPipeError:
            status = BROKEN_PIPE
        except OSError as error:
            place = error.filename or "the output"
            status = _report(error, f"{place} cannot be read or written ({error.strerror or error})")
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
            if isinstance(exit_.__context__, BrokenPipeError):  # typer and rich turn it into status 1
                status = BROKEN_PIPE
        except Exception as error:  # a fault of vczoo or of a plugin
            message = f"unexpected {type(error).__name__}: {error}\nThis is a fault of vczoo or of a plugin"
            hint = "" if debugging() else "; run the command again with --debug to see where it is"
            status = _report(error, f"{message}{hint}", UNEXPECTED)
    if not flushed():
        status = status or 1
    if launched():
        leave(status)
    sys.exit(status)


def _call() -> None:
    """Parse the command line and call the command. With --json, a mistake in the command line is JSON, too."""
    if not json_requested():
        app()
        return
    try:
        status = app(standalone_mode=False)
    except Exception as error:  # typer's class for mistakes in the command line has no public name
        if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
            raise
        print_json_error("UsageError", error.format_message(), error.exit_code)
        status = error.exit_code
    sys.exit(status if isinstance(status, int) else 0)


def _report(error: Exception, message: str, status: int = 1) -> int:
    """Print an error, and return the exit status."""
    if debugging():
        traceback.print_exception(error)
    try:
        if json_requested():
            print_json_error(type(error).__name__, message, status)
            sys.stdout.flush()
            return status
    except OSError:  # standard output is what cannot be written
        pass
    print_line(f"error: {message}", to_stderr=True)
    return status
