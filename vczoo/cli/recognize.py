"""Commands that transcribe and classify recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from vczoo.cli.json_output import print_json
from vczoo.cli.terminal import Device, RunName, load_run, print_line

__all__ = ["COMMANDS"]

SHOWN = 5  # labels per recording; --json prints all

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Recordings, in any format.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for programs.")]


def transcribe(run: RunName, files: Files, json: JsonLines = False, device: Device = None) -> None:
    """Transcribe recordings with a run that has a text head.

    Exit status: 1 if a recording cannot be read; the others are still transcribed.
    """
    converter = load_run(run, device)
    converter.check_transcribes()
    _each(files, converter.transcribe, lambda text: text, "text", json)


def classify(run: RunName, files: Files, json: JsonLines = False, device: Device = None) -> None:
    """Classify recordings (emotion, language, …) with a run that has a label head.

    Exit status: 1 if a recording cannot be read; the others are still classified.
    """
    converter = load_run(run, device)
    converter.check_classifies()
    _each(files, converter.classify, _likeliest, "labels", json)


COMMANDS: dict[str, Callable[..., None]] = {"transcribe": transcribe, "classify": classify}


def _each(
    files: list[Path], predict: Callable[[Path], Any], describe: Callable[[Any], str], key: str, json: bool
) -> None:
    from vczoo.errors import AudioError

    status = 0
    for file in files:
        try:
            result = predict(file)
        except AudioError as error:
            if json:
                print_json({"file": file, "error": str(error)}, indent=None)
            else:
                print_line(f"error: {error}", to_stderr=True)
            status = 1
            continue
        if json:
            print_json({"file": file, key: result}, indent=None)
        else:
            print_line(f"{file}: {describe(result)}")
    if status:
        raise typer.Exit(status)


def _likeliest(probabilities: dict[str, float]) -> str:
    shown = [f"{label} {probability:.3f}" for label, probability in list(probabilities.items())[:SHOWN]]
    return ", ".join(shown) + (f" and {len(probabilities) - SHOWN} more" if len(probabilities) > SHOWN else "")
