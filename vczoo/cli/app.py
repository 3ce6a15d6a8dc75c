"""The command line: each command calls one function and prints what it gives."""

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
    pattern: Annotated[str, typer.Argument(help="Names to show, as in a shell: 'vgg16*'.")] = "*",
    parts: Annotated[str, typer.Option(help="Show parts: backbone, freezing, head, vocoder, watermark or all.")] = "",
) -> None:
    """List recipes, or with --parts what recipes are made of."""
    rows = part_rows(parts, pattern) if parts else recipe_rows(pattern)
    if not rows and parts and pattern == "*":
        raise VczooError(f"no {parts} is installed; `vczoo plugins` lists the plugins")
    if not rows:
        raise VczooError(f"nothing is called {pattern!r}; `vczoo list{f' --parts {parts}' if parts else ''}` lists all")
    print_table(rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe, its .yaml file, or a run.")],
    overrides: Overrides = None,
) -> None:
    """Show a recipe, resolved: everything that it extends merged into it. Of a run, its figures too."""
    from vczoo.conversion.load import read_name
    from vczoo.models.recipe import read_recipe

    kind, place = read_name(as_run(name))
    if kind == "hub":
        raise VczooError(f"{place} is a speaker on the Hub; `vczoo info {place}` shows what it is")
    if kind == "run":
        from vczoo.runs.run_folder import describe_run

        print_line(describe_run(Path(place)))
    else:
        print_line(read_recipe(place, overrides or ()).to_yaml())


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="A recipe.")],
    file: Annotated[Path, typer.Argument(help="The .yaml file to make.")],
) -> None:
    """Make a recipe file that extends a recipe, to edit."""
    from vczoo.io.files import write_beside
    from vczoo.registry.zoo import the_zoo

    recipe = the_zoo().recipe(name)
    if file.suffix not in {".yaml", ".yml"}:
        raise VczooError(f"{file}: a recipe file ends in .yaml, as in {file}.yaml")
    text = f"extends: {name}\n\n# What differs goes here. `vczoo show {name}` shows all there is; {name} itself says:\n"
    text += "".join(f"#   {line}".rstrip() + "\n" for line in recipe.read().splitlines())
    try:
        with write_beside(file, overwrite=False) as beside:
            beside.write_text(text, encoding="utf-8")
    except FileExistsError as error:
        raise VczooError(f"{file} exists; choose another name") from error
    print_line(f"{file}: edit it, then `vczoo check {file}` and `vczoo train {file} --data … --out …`")


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe or its .yaml file.")],
    overrides: Overrides = None,
) -> None:
    """Check a recipe down to the contracts between its parts; nothing is downloaded."""
    from vczoo.models.build import checked_recipe

    recipe = checked_recipe(name, overrides or ())
    print_line(f"{recipe.name}: no fault found")


@app.command()
def demo(
    recordings: Annotated[
        list[Path] | None, typer.Argument(help="Recordings of one person who agrees; a synthetic voice without.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder to make.")] = Path("vczoo-demo"),
) -> None:
    """Hear the model inside the package: a sentence in the voice of recordings, offline. Takes one to two minutes."""
    from vczoo.cli.demo import run_demo

    rows, files = run_demo(out, recordings or ())
    print_table(rows)
    print_line("(similarity: cosine of speaker embeddings to the voice's, -1 to 1)")
    for file in files:
        print_line(str(file))


app.add_typer(plugins.app, name="plugins")
for group in (train, sweep, convert, recognize, hub):
    for command_name, command in group.COMMANDS.items():
        app.command(command_name)(command)
app.add_typer(plugin_kit.app, name="plugin")


def main() -> NoReturn:
    """Run the command line; a caller's mistake becomes one message and exit status 1."""
    status = 0
    try:
        with warnings.catch_warnings():
            print_deprecations()
            app()
    except VczooError as error:
        print_line(f"error: {error}", to_stderr=True)
        status = 1
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    if launched():
        leave(status)
    sys.exit(status)
