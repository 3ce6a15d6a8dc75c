"""Commands that list, show, copy and check recipes, and list and show the parts that recipes are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from vczoo.cli.json_output import Json, as_records, print_json
from vczoo.cli.listing import kind_rows, part_rows, recipe_rows
from vczoo.cli.listing_lines import as_pattern, part_lines, recipe_lines, split_kind
from vczoo.cli.terminal import Overrides, as_run, is_terminal, print_line, print_table, terminal_width
from vczoo.errors import VczooError

__all__ = ["COMMANDS"]


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
    json: Json = False,
) -> None:
    """List recipes or, with --parts, the parts that recipes are made of.

    In a pipe, each recipe or part is one line with more columns.
    """
    if parts and not words:
        if json:
            print_json(as_records(kind_rows()))
            return
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
    if json:
        print_json(as_records(rows))
    elif is_terminal():
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


COMMANDS: dict[str, Callable[..., None]] = {"list": list_, "show": show, "copy": copy, "check": check}
