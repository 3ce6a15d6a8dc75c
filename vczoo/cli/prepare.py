"""The command that prepares recordings for training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vczoo.cli.json_output import Json, print_json
from vczoo.cli.terminal import interruptible, print_line, print_note, print_table
from vczoo.io.install_advice import pip_install

if TYPE_CHECKING:
    from vczoo.data.preparation import PreparedRecording

__all__ = ["COMMANDS"]


def prepare(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="A recording, a folder SPEAKER/*.wav, or a wildcard in quotes.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to create.")],
    keep_noisy: Annotated[bool, typer.Option("--keep-noisy", help="Keep pieces that are too noisy.")] = False,
    json: Json = False,
) -> None:
    """Cut long recordings into sentences, trim and level them, and drop what is too short, too noisy or not speech.

    The recordings stay as they are. Music and noises are dropped, too, if the extra `prepare` is installed.
    """
    from vczoo.data.preparation import prepare as prepare_recordings

    with interruptible(f"{out} was not created"):
        prepared = prepare_recordings(source, out, keep_noisy=keep_noisy, watch=print_note)
    if json:
        print_json({"out": out, "recordings": [_record(recording) for recording in prepared]})
        return
    print_table([_row(recording) for recording in prepared])
    kept = [piece for recording in prepared for piece in recording.kept]
    print_line(f"{out}: {len(kept)} pieces, {sum(piece.seconds for piece in kept):.0f} s")
    if find_spec("silero_vad") is None:
        print_note(f"(music and noises may be among them; to find them, run: {pip_install(extra='prepare')})")
    speaker = "" if any(piece.file and piece.file.parent != out for piece in kept) else " --voice NAME"
    print_line(f"next: vczoo train base-partialfreeze --data {out}{speaker} --out runs/mine")


def _row(recording: PreparedRecording) -> dict[str, str]:
    """A row of the table."""
    return {
        "recording": str(recording.path),
        "length": f"{recording.seconds:.0f} s",
        "pieces": str(len(recording.kept)),
        "kept": f"{sum(piece.seconds for piece in recording.kept):.0f} s",
        "dropped": recording.fault or _counted([piece.reason for piece in recording.pieces if piece.reason]),
    }


def _counted(reasons: Sequence[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in Counter(reasons).items())


def _record(recording: PreparedRecording) -> dict[str, Any]:
    """What --json prints of a recording."""
    pieces = [
        {
            "file": piece.file,
            "start": piece.start,
            "end": piece.end,
            "dropped": piece.reason,
            "range_db": piece.range_db,
        }
        for piece in recording.pieces
    ]
    return {"recording": recording.path, "seconds": recording.seconds, "fault": recording.fault, "pieces": pieces}


COMMANDS: dict[str, Callable[..., None]] = {"prepare": prepare}
