"""The commands that say what is in recordings: each calls one function and prints what it gives."""

from __future__ import annotations

import json as as_json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from vczoo.cli.terminal import as_run, print_line

__all__ = ["COMMANDS"]

SHOWN = 5  # labels of a recording; --json gives all

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or owner/name[@revision] on the Hub.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings (WAV, FLAC, OGG or MP3).")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]


def transcribe(run: RunName, files: Files, json: AsJson = False) -> None:
    """Write down what is said in recordings, by a run with a text head.

    Exit status: 1 if a recording cannot be read; the others are written down all the same.
    """
    from vczoo.conversion.load import load

    converter = load(as_run(run))
    converter.check_transcribes()
    _each(files, converter.transcribe, lambda text: text, "text", json)


def classify(run: RunName, files: Files, json: AsJson = False) -> None:
    """Say which label recordings have (emotion, language ...), by a run with a label head.

    Exit status: 1 if a recording cannot be read; the others are classified all the same.
    """
    from vczoo.conversion.load import load

    converter = load(as_run(run))
    converter.check_classifies()
    _each(files, converter.classify, _likeliest, "labels", json)


COMMANDS: dict[str, Callable[..., None]] = {"transcribe": transcribe, "classify": classify}


def _each(files: list[Path], ask: Callable[[Path], Any], tell: Callable[[Any], str], name: str, json: bool) -> None:
    from vczoo.errors import AudioError

    status = 0
    for file in files:
        try:
            found = ask(file)
        except AudioError as error:
            print_line(f"error: {error}", to_stderr=True)
            status = 1
            continue
        print_line(
            as_json.dumps({"file": str(file), name: found}, ensure_ascii=False) if json else f"{file}: {tell(found)}"
        )
    if status:
        raise typer.Exit(status)


def _likeliest(shares: dict[str, float]) -> str:
    told = [f"{label} {share:.3f}" for label, share in list(shares.items())[:SHOWN]]
    return ", ".join(told) + (f" and {len(shares) - SHOWN} more" if len(shares) > SHOWN else "")
