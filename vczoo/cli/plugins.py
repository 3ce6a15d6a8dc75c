"""The commands on plugins: each calls one function and prints what it gives. Uninstalling imports no plugin."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from vczoo.cli.terminal import print_line, print_table

__all__ = ["app"]

app = typer.Typer(help="List the plugins, install and uninstall them.", rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True)
def plugins(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of objects.")] = False,
) -> None:
    """List the plugins: where they come from, whether they load, and why not. Installs and uninstalls them."""
    if context.invoked_subcommand:
        return
    from vczoo.cli.listing import plugin_facts, plugin_row
    from vczoo.registry.registration import is_strict
    from vczoo.registry.validation import require_whole
    from vczoo.registry.zoo import Zoo

    zoo = Zoo()  # not the process's, which `VCZOO_STRICT` may refuse: this command says what is wrong with it
    facts = plugin_facts(zoo)
    if as_json:
        print_line(json.dumps(facts, indent=2))
    else:
        print_table([plugin_row(one) for one in facts])
    if is_strict():
        require_whole(zoo.plugins)


@app.command()
def install(
    name: Annotated[str, typer.Argument(metavar="NAME", help="timm, a distribution, a folder or a wheel.")],
) -> None:
    """Install a plugin for the Python that runs vczoo; says where first."""
    from vczoo.registry.installer import install as run

    for plugin in run(name, print_line):
        state = f"broken: {plugin.fault}" if plugin.fault else "installed"
        print_line(f"{plugin.name} ({plugin.distribution} {plugin.version}): {state}")
    print_line("`vczoo plugins` says whether it loads")


@app.command()
def uninstall(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A plugin's name, or its distribution's.")],
) -> None:
    """Uninstall a plugin, broken ones too; what is no plugin is refused."""
    from vczoo.registry.installer import uninstall as run

    print_line(f"{run(name, print_line)}: uninstalled")
