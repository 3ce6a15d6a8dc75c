"""The command that reads the provenance marks and watermarks of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vczoo.cli.json_output import Json, print_json
from vczoo.cli.terminal import print_line

if TYPE_CHECKING:
    from vczoo.audio.provenance_mark import Mark

__all__ = ["COMMANDS"]


def provenance(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Sound files.")],
    watermark: Annotated[str, typer.Option(metavar="NAME", help="Also look for this plugin's watermark.")] = "",
    json: Json = False,
) -> None:
    """Show whether files are marked as synthetic, and which model made them.

    Exit status: 0 if every file has a mark (or the watermark, with probability 0.5 or more), 1 if a file has none, 2 if
    a file cannot be read.
    """
    from vczoo.audio.reader import read_mark
    from vczoo.errors import AudioError

    detect = _detector(watermark) if watermark else None
    status = 0
    records = []
    for file in files:
        try:
            mark, probability = read_mark(file), detect(file) if detect else 0.0
        except AudioError as error:
            records.append({"file": file, "error": str(error)})
            if not json:
                print_line(f"error: {error}", to_stderr=True)
            status = 2
            continue
        status = max(status, int(mark is None and probability < 0.5))
        if json:
            records.append(_record(file, mark) | ({"watermark_probability": probability} if detect else {}))
            continue
        print_line(
            f"{file}: {mark or 'no mark from vczoo; this proves nothing, since marks are easily lost or removed'}"
        )
        if detect:
            print_line(f"{file}: watermark {watermark} with probability {probability:.3f}")
    if json:
        print_json(records)
    raise typer.Exit(status)


COMMANDS: dict[str, Callable[..., None]] = {"provenance": provenance}


def _record(file: Path, mark: Mark | None) -> dict[str, Any]:
    """What --json prints of a file that can be read."""
    plain = (
        None if mark is None else {"vczoo": mark.vczoo, "recipe": mark.recipe, "run": mark.run, "voices": mark.shares}
    )
    return {"file": file, "mark": plain}


def _detector(name: str) -> Callable[[Path], float]:
    """Load a watermark, and return a function from a file to the probability that it carries the watermark."""
    from vczoo.audio.waveform import Waveform
    from vczoo.conversion.watermark import detect_watermark, load_watermark

    watermark = load_watermark(name)
    return lambda file: detect_watermark(watermark, Waveform.read(file))
