"""Commands for plugin authors: `vczoo plugin new` and `vczoo plugin check`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vczoo.cli.help import Command, PluginGroup, epilog_of
from vczoo.cli.json_output import Json, print_json
from vczoo.cli.terminal import print_line, print_table
from vczoo.errors import VczooError
from vczoo.testing.plugin_kit.check import Checked, PluginReport, check_plugin
from vczoo.testing.plugin_kit.new import KINDS, new_plugin
from vczoo.testing.plugin_kit.source import find_plugin

__all__ = ["app"]

app = typer.Typer(
    cls=PluginGroup, help="Create a plugin, and check that it conforms to vczoo's interfaces.", no_args_is_help=True
)


@app.command(cls=Command, epilog=epilog_of("vczoo plugin new my-net --kind backbone"))
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the plugin; example creates vczoo-example.")],
    kind: Annotated[str, typer.Option(help=f"What the plugin provides: {', '.join(KINDS)}.")],
    out: Annotated[Path | None, typer.Option(help="The folder to create. Default: ./vczoo-NAME.")] = None,
    author: Annotated[str, typer.Option(help="Author named in the license. Default: user.name of git.")] = "",
) -> None:
    """Create a working plugin: a part, its registration, tests, README, CI and license."""
    folder = new_plugin(name, kind, out, author=author)
    print_line(f"{folder}: check it with `vczoo plugin check {folder}`, install it with `pip install -e {folder}`")


@app.command(cls=Command, epilog=epilog_of("vczoo plugin check vczoo-my-net"))
def check(
    where: Annotated[
        str, typer.Argument(metavar="PATH|NAME", help="Folder of a plugin, or name of an installed one.")
    ] = ".",
    entry: Annotated[str, typer.Option(help="Shell pattern of the entries to check: 'example/*'.")] = "*",
    everything: Annotated[
        bool, typer.Option("--all", help="Check all entries, even if there are more than 40.")
    ] = False,
    json: Json = False,
) -> None:
    """Run the conformance checks on every entry of a plugin. Exit status: 1 if a check fails."""
    report = check_plugin(find_plugin(where), entry, everything=everything)
    if json:
        print_json(asdict(report))
        raise typer.Exit(int(bool(report.all_faults)))
    _print(report)
    if faults := report.all_faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        lines = "\n".join(f"  - {fault}" for fault in faults)
        raise VczooError(f"{report.distribution} {report.version} has {count}:\n{lines}")


def _print(report: PluginReport) -> None:
    if report.checked:
        print_table([_row(subject) for subject in report.checked])
    count = sum(len(subject.results) for subject in report.checked)
    seconds = sum(result["seconds"] for subject in report.checked for result in subject.results)
    print_line(
        f"{report.distribution} {report.version}: {count} checks of {len(report.checked)} entries, {seconds:.1f} s"
    )
    if report.registered > len(report.checked):
        print_line(f"(a sample of {report.registered} registered entries; use --all to check all, --entry to choose)")
    for subject in report.checked:
        for result in subject.results:
            if result["outcome"] == "skipped":
                print_line(f"({subject.name}, {result['name']} skipped: {result['detail']})")


def _row(subject: Checked) -> dict[str, str]:
    """A table row: which checks passed, were skipped or failed, their total time, and the slowest check."""
    slowest = max(subject.results, key=lambda result: result["seconds"], default={"name": "", "seconds": 0.0})
    outcomes = {
        outcome: [result["name"] for result in subject.results if result["outcome"] == outcome]
        for outcome in ("passed", "skipped", "failed")
    }
    return {
        "entry": subject.name,
        "kind": subject.kind,
        "passed": f"{len(outcomes['passed'])} of {len(subject.results)}",
        "skipped": " ".join(outcomes["skipped"]),
        "FAULT": " ".join(outcomes["failed"]),
        "seconds": f"{sum(result['seconds'] for result in subject.results):.2f}",
        "slowest": f"{slowest['name']} {slowest['seconds']:.2f}",
    }
