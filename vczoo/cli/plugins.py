"""Commands that list, install and uninstall plugins. Uninstalling does not import any plugin."""

from __future__ import annotations

from typing import Annotated

import typer

from vczoo.cli.help import Command, PluginGroup, epilog_of
from vczoo.cli.json_output import Json, print_json
from vczoo.cli.terminal import print_line, print_table
from vczoo.errors import VczooError

__all__ = ["app"]

app = typer.Typer(
    cls=PluginGroup, help="List, install and uninstall plugins.", rich_markup_mode=None, add_completion=False
)


@app.callback(invoke_without_command=True)
def plugins(
    context: typer.Context,
    json: Json = False,
) -> None:
    """List the plugins, with their origin and state. The subcommands install and uninstall them."""
    if context.invoked_subcommand:
        return
    from vczoo.cli.listing import plugin_facts, plugin_row
    from vczoo.registry.registration import is_strict
    from vczoo.registry.validation import require_whole
    from vczoo.registry.zoo import Zoo

    zoo = Zoo()  # not `the_zoo()`, which may raise under `VCZOO_STRICT`: this command shows the faults
    facts = plugin_facts(zoo)
    if json:
        print_json(facts)
    else:
        print_table([plugin_row(plugin) for plugin in facts])
    if is_strict():
        try:
            require_whole(zoo.plugins)
        except VczooError as error:
            if json:  # the faults are printed already
                raise typer.Exit(1) from error
            raise


@app.command(cls=Command, epilog=epilog_of("vczoo plugins install timm"))
def install(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Short name such as timm, a distribution, a folder or a wheel.")
    ],
) -> None:
    """Install a plugin into the Python environment that runs vczoo, after printing which one that is."""
    from vczoo.registry.installer import install as install_plugin

    for plugin in install_plugin(name, print_line):
        state = f"broken: {plugin.fault}" if plugin.fault else "installed"
        print_line(f"{plugin.name} ({plugin.distribution} {plugin.version}): {state}")
    print_line("run `vczoo plugins` to see whether it loads")


@app.command(cls=Command, epilog=epilog_of("vczoo plugins uninstall timm"))
def uninstall(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a plugin or of its distribution.")],
) -> None:
    """Uninstall a plugin, even a broken one. Refuses distributions that are not plugins."""
    from vczoo.registry.installer import uninstall as uninstall_plugin

    print_line(f"{uninstall_plugin(name, print_line)}: uninstalled")
