"""`vczoo plugin new` and `vczoo plugin check`: what plugins' authors run. Words in; a folder, or a table, out."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vczoo.cli.terminal import print_line, print_table
from vczoo.errors import VczooError
from vczoo.testing.plugin_kit.check import Checked, PluginReport, check_plugin
from vczoo.testing.plugin_kit.new import KINDS, new_plugin
from vczoo.testing.plugin_kit.source import find_plugin

__all__ = ["app"]

app = typer.Typer(help="Make a plugin, and check that it keeps its promises.", no_args_is_help=True)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the plugin: example makes vczoo-example.")],
    kind: Annotated[str, typer.Option(help=f"What it provides: {', '.join(KINDS)}.")],
    out: Annotated[Path | None, typer.Option(help="The folder to make; by default ./vczoo-NAME.")] = None,
    author: Annotated[str, typer.Option(help="For the licence; by default git's user.name.")] = "",
) -> None:
    """Write a plugin that works at once: a part, its registration, tests, README, CI and licence."""
    folder = new_plugin(name, kind, out, author=author)
    print_line(f"{folder}: `vczoo plugin check {folder}` checks it, `pip install -e {folder}` installs it")


@app.command()
def check(
    where: Annotated[str, typer.Argument(metavar="PATH|NAME", help="A plugin's folder, or an installed one.")] = ".",
    entry: Annotated[str, typer.Option(help="Names of entries, as in a shell: 'example/*'.")] = "*",
    everything: Annotated[bool, typer.Option("--all", help="All entries, where there are more than 40.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Check every entry of a plugin; exit status 1 where a promise is broken."""
    report = check_plugin(find_plugin(where), entry, everything=everything)
    if as_json:
        print_line(json.dumps(asdict(report), indent=1, ensure_ascii=False))
    else:
        _print(report)
    if faults := report.all_faults:
        few = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise VczooError(f"{report.distribution} {report.version} has {few}:\n" + "\n".join(f"  - {x}" for x in faults))


def _print(report: PluginReport) -> None:
    if report.checked:
        print_table([_row(one) for one in report.checked])
    count = sum(len(one.results) for one in report.checked)
    seconds = sum(result["seconds"] for one in report.checked for result in one.results)
    print_line(
        f"{report.distribution} {report.version}: {count} checks of {len(report.checked)} entries, {seconds:.1f} s"
    )
    if report.registered > len(report.checked):
        print_line(f"(a sample: {report.registered} entries are registered; --all checks all, --entry chooses)")
    for one in report.checked:
        for result in one.results:
            if result["outcome"] == "skipped":
                print_line(f"({one.name}, {result['name']} skipped: {result['detail']})")


def _row(one: Checked) -> dict[str, str]:
    """How many checks, how long they took, which one took longest, and which found a fault."""
    slowest = max(one.results, key=lambda result: result["seconds"], default={"name": "", "seconds": 0.0})
    outcomes = {
        outcome: [result["name"] for result in one.results if result["outcome"] == outcome]
        for outcome in ("passed", "skipped", "failed")
    }
    return {
        "entry": one.name,
        "kind": one.kind,
        "passed": f"{len(outcomes['passed'])} of {len(one.results)}",
        "skipped": " ".join(outcomes["skipped"]),
        "FAULT": " ".join(outcomes["failed"]),
        "seconds": f"{sum(result['seconds'] for result in one.results):.2f}",
        "the slowest": f"{slowest['name']} {slowest['seconds']:.2f}",
    }
