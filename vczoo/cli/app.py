"""Entry point of the command line, and the commands on recipes.

Each command calls one function of the library and prints the result.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from vczoo.cli import convert, hub, plugin_kit, plugins, recognize, sweep, train
from vczoo.cli.launch import launched, leave
from vczoo.cli.listing import part_rows, recipe_rows
from vczoo.cli.terminal import Overrides, as_run, print_deprecations, print_line, print_table
from vczoo.errors import VczooError

app = typer.Typer(
    name="vczoo",
    help="A model zoo for voice conversion by transfer learning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command("list")
def list_(
    pattern: Annotated[str, typer.Argument(help="Shell pattern of the names to show: 'vgg16*'.")] = "*",
    parts: Annotated[
        str, typer.Option(help="Show parts of a kind: backbone, freezing, head, vocoder, watermark or all.")
    ] = "",
) -> None:
    """List recipes or, with --parts, the parts that recipes are made of."""
    rows = part_rows(parts, pattern) if parts else recipe_rows(pattern)
    if not rows and parts and pattern == "*":
        raise VczooError(f"no {parts} is installed; run `vczoo plugins` to list the plugins")
    if not rows:
        command = f"vczoo list --parts {parts}" if parts else "vczoo list"
        raise VczooError(f"no {'part' if parts else 'recipe'} matches {pattern!r}; run `{command}` to list all")
    print_table(rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe, its .yaml file, or a run.")],
    overrides: Overrides = None,
) -> None:
    """Show a recipe with everything that it extends merged into it, or the configuration and metrics of a run."""
    from vczoo.conversion.load import read_name
    from vczoo.models.recipe import read_recipe

    kind, location = read_name(as_run(name))
    if kind == "hub":
        raise VczooError(f"{location} is a published run on the Hub; use `vczoo info {location}` to show it")
    if kind == "run":
        from vczoo.runs.run_folder import describe_run

        print_line(describe_run(Path(location)))
    else:
        print_line(read_recipe(location, overrides or ()).to_yaml())


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="The recipe to extend.")],
    file: Annotated[Path, typer.Argument(help="The .yaml file to create.")],
) -> None:
    """Create a recipe file that extends a recipe and lists all of its settings as comments, for you to edit."""
    from vczoo.io.files import write_beside
    from vczoo.io.plain_yaml import dump_plain
    from vczoo.models.part_options import complete_values
    from vczoo.models.recipe import read_recipe

    if file.suffix not in {".yaml", ".yml"}:
        raise VczooError(f"{file}: the name of a recipe file must end in .yaml; use {file}.yaml")
    values = {key: value for key, value in complete_values(read_recipe(name)).items() if key != "name"}
    text = f"extends: {name}\n\n# Every setting of {name}.\n"
    text += "# Remove '# ' before a setting, and before the keys above it, to change it.\n"
    text += "".join(f"# {line}".rstrip() + "\n" for line in dump_plain(values).splitlines())
    try:
        with write_beside(file, overwrite=False) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except FileExistsError as error:
        raise VczooError(f"{file} already exists; choose another name") from error
    print_line(f"{file}: edit it, then run `vczoo check {file}` and `vczoo train {file} --data … --out …`")


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe or its .yaml file.")],
    overrides: Overrides = None,
) -> None:
    """Check a recipe, including whether its parts fit together. Downloads nothing."""
    from vczoo.models.build import checked_recipe

    recipe = checked_recipe(name, overrides or ())
    print_line(f"{recipe.name}: no problems found")


@app.command()
def demo(
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(help="Recordings of one consenting person. Without any, a synthetic voice is used."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder to create.")] = Path("vczoo-demo"),
) -> None:
    """Try the bundled model: convert a sentence to the voice of some recordings, offline. Takes one to two minutes."""
    from vczoo.cli.demo import run_demo

    rows, files = run_demo(out, recordings or ())
    print_table(rows)
    print_line("(similarity: cosine between speaker embeddings, -1 to 1)")
    for file in files:
        print_line(str(file))


app.add_typer(plugins.app, name="plugins")
for group in (train, sweep, convert, recognize, hub):
    for command_name, command in group.COMMANDS.items():
        app.command(command_name)(command)
app.add_typer(plugin_kit.app, name="plugin")


def main() -> NoReturn:
    """Run the command line. A user's mistake is printed as one message, and the exit status is 1."""
    status = 0
    try:
        with warnings.catch_warnings():
            print_deprecations()
            app()
    except VczooError as error:
        print_line(f"error: {error}", to_stderr=True)
        status = 1
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    if launched():
        leave(status)
    sys.exit(status)
