"""The command that tables results files, which `vczoo evaluate --results` writes. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vczoo.cli.json_output import Json, print_json
from vczoo.cli.terminal import print_note, print_table

__all__ = ["COMMANDS"]

SHORT = 12  # hex digits of a digest


def results(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Results files, as `vczoo evaluate --results` writes them.")
    ],
    json: Json = False,
) -> None:
    """Show the figures of results files as one table, with half of each interval."""
    from vczoo.evaluation.results import read_results, result_rows

    rows = result_rows(one for file in files for one in read_results(file))
    if json:
        figures = [{name: asdict(figure) for name, figure in row["figures"].items()} for row in rows]
        print_json([{**row, "figures": own} for row, own in zip(rows, figures, strict=True)])
        return
    if not rows:
        print_note("there are no figures yet; `vczoo evaluate ... --results FILE` appends some")
        return
    names = dict.fromkeys(name for row in rows for name in row["figures"])
    print_table(
        [
            {
                "system": row["system"],
                "weights": f"{row['weights']} {row['weights_sha256'][:SHORT]}".strip(),
                "trials": f"{row['trials']} ({row['trial_count']})",
                **{name: row["figures"][name].text() if name in row["figures"] else "" for name in names},
                "measured by": ", ".join(filter(None, (row["speaker_model"], row["asr"]))),
                "machine": row["machine"],
                "measured": row["measured_at"],
            }
            for row in rows
        ]
    )


COMMANDS: dict[str, Callable[..., None]] = {"results": results}
