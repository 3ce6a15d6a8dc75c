"""Entry point of the command line, and the commands on recipes.

Each command calls one function of the library and prints the result.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from vczoo.cli import convert, evaluate, hub, plugin_kit, plugins, provenance, recognize, sweep, train, voices
from vczoo.cli.command_table import COMMAND_TABLE, Described
from vczoo.cli.help import Command, Group, epilog_of
from vczoo.cli.launch import end_with_launcher, launched, leave
from vczoo.cli.listing import kind_rows, part_rows, recipe_rows
from vczoo.cli.listing_lines import as_pattern, part_lines, recipe_lines, split_kind
from vczoo.cli.terminal import (
    Overrides,
    as_run,
    exit_on_signals,
    flushed,
    interruptible,
    is_terminal,
    open_closed_streams,
    print_line,
    print_table,
    print_warnings,
    terminal_width,
)
from vczoo.errors import VczooError

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


def list_(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="Part of the names to show, or a shell pattern: 'vgg16*'. With --parts, a kind first."
        ),
    ] = None,
    parts: Annotated[
        bool, typer.Option("--parts", help="Show parts of a kind: backbone, freezing, head, vocoder, watermark or all.")
    ] = False,
) -> None:
    """List recipes or, with --parts, the parts that recipes are made of.

    In a pipe, each recipe or part is one line with more columns.
    """
    if parts and not words:
        print_table(kind_rows())
        print_line("`vczoo list --parts KIND` lists the parts of a kind, `vczoo show PART` describes a part")
        return
    kind, patterns = split_kind(words or ()) if parts else ("", list(words or ()))
    if len(patterns) > 1:
        raise VczooError(f"expected one name or pattern, got {' '.join(patterns)}; put a pattern in quotes: 'vgg16*'")
    pattern = as_pattern(patterns[0]) if patterns else "*"
    rows = part_rows(kind, pattern) if parts else recipe_rows(pattern)
    if not rows and parts and pattern == "*":
        raise VczooError(f"no {kind} is installed; run `vczoo plugins` to list the plugins")
    if not rows:
        command = f"vczoo list --parts {kind}" if parts else "vczoo list"
        raise VczooError(f"no {'part' if parts else 'recipe'} matches {patterns[0]!r}; run `{command}` to list all")
    if is_terminal():
        lines = part_lines(rows, terminal_width()) if parts else recipe_lines(rows, terminal_width())
        print_line("\n".join(lines))
    else:
        print_table(rows)


def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A recipe, its .yaml file, a run, or a part such as torchvision/vgg16."),
    ],
    overrides: Overrides = None,
) -> None:
    """Show a recipe with every setting, the configuration and metrics of a run, or the options of a part."""
    from vczoo.cli.description import describe

    print_line(describe(as_run(name), overrides or ()))


def copy(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="The recipe to extend.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The .yaml file to create.")],
) -> None:
    """Create a recipe file that extends a recipe and lists all of its settings as comments, for you to edit."""
    from vczoo.io.files import write_beside, write_fault
    from vczoo.io.plain_yaml import dump_plain
    from vczoo.models.part_options import with_defaults
    from vczoo.models.recipe import read_recipe

    if file.suffix not in {".yaml", ".yml"}:
        raise VczooError(f"{file}: the name of a recipe file must end in .yaml; use {file}.yaml")
    if fault := write_fault(file):
        raise VczooError(f"{file} cannot be written ({fault}); choose another file")
    values = {key: value for key, value in with_defaults(read_recipe(name)).items() if key != "name"}
    text = f"extends: {name}\n\n# Every setting of {name}.\n"
    text += "# Remove '# ' before a setting, and before the keys above it, to change it.\n"
    text += "".join(f"# {line}".rstrip() + "\n" for line in dump_plain(values).splitlines())
    try:
        with write_beside(file, overwrite=False) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except FileExistsError as error:
        raise VczooError(f"{file} already exists; choose another name") from error
    except OSError as error:
        raise VczooError(f"{file} cannot be written ({error.strerror or error}); choose another file") from error
    print_line(f"{file}: edit it, then run `vczoo check {file}` and `vczoo train {file} --data … --out …`")


def check(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe or its .yaml file.")],
    overrides: Overrides = None,
) -> None:
    """Check a recipe, including whether its parts fit together. Downloads nothing."""
    from vczoo.models.build import checked_recipe

    recipe = checked_recipe(name, overrides or ())
    print_line(f"{recipe.name}: no problems found")


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
) -> None:
    """Try the bundled model on recordings of yours, offline: enroll, convert, fine-tune. Takes one to two minutes."""
    from vczoo.cli.demo import new_folder, run_demo

    folder = out or new_folder(Path("vczoo-demo"))
    with interruptible(f"{folder} has what was finished; you can remove it. Another run needs another folder"):
        result = run_demo(folder, recordings or (), voice)
    print_table(result.rows)
    for line in (*result.notes, *map(str, result.files)):
        print_line(line)
    print_line(f"next: {result.next_command}")


COMMANDS: dict[str, Callable[..., None]] = {"list": list_, "show": show, "copy": copy, "check": check, "demo": demo}
for group in (train, sweep, convert, voices, recognize, evaluate, provenance, hub):
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

    A user's mistake, or a file or output that cannot be written, is printed as one message, and the exit status is 1.
    If the reader of a pipe has gone, as in `vczoo list | head`, there is no message, and the status is 141, as if
    SIGPIPE had ended the process. SIGTERM, and SIGHUP of a terminal that closes, end a command as Ctrl-C does: files
    that it had begun are removed. The status is 143 or 129.
    """
    open_closed_streams()
    exit_on_signals()
    end_with_launcher()
    status = 0
    try:
        with warnings.catch_warnings():
            print_warnings()
            try:
                app()
            finally:
                sys.stdout.flush()
    except VczooError as error:
        print_line(f"error: {error}", to_stderr=True)
        status = 1
    except BrokenPipeError:
        status = BROKEN_PIPE
    except OSError as error:
        place = error.filename or "the output"
        print_line(f"error: {place} cannot be read or written ({error.strerror or error})", to_stderr=True)
        status = 1
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        if isinstance(exit_.__context__, BrokenPipeError):  # typer and rich turn it into status 1
            status = BROKEN_PIPE
    if not flushed():
        status = status or 1
    if launched():
        leave(status)
    sys.exit(status)
