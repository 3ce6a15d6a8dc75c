"""The command that measures conversions, or what the heads of a run predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from vczoo.cli.json_output import Json, print_json
from vczoo.cli.report import add_report
from vczoo.cli.terminal import Device, as_run, interruptible, print_line, print_note, print_table
from vczoo.errors import VczooError

if TYPE_CHECKING:
    from vczoo.data.columns import Split

__all__ = ["COMMANDS"]


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or a recipe.")],
    trials: Annotated[
        Path | None,
        typer.Option(help="A .csv file with columns source, source_speaker, voice; optionally text, parallel."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Instead of --trials, to score what heads predict: recordings with texts, labels and so on."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of --data to score: train, validation or test.")] = "test",
    root: Annotated[Path | None, typer.Option(help="Folder that the paths in --trials are relative to.")] = None,
    references: Annotated[
        Path | None, typer.Option(help="Real speech of the voices: a manifest or a folder SPEAKER/*.wav.")
    ] = None,
    asr: Annotated[
        list[str] | None, typer.Option(help="faster-whisper:SIZE, transformers:ID, pocketsphinx; repeatable.")
    ] = None,
    speaker: Annotated[
        str | None,
        typer.Option(
            help="wavlm-sv, resemblyzer or xvector:ID.", show_default="resemblyzer if installed, otherwise wavlm-sv"
        ),
    ] = None,
    naturalness: Annotated[bool, typer.Option(help="Also measure DNSMOS.")] = True,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="A further metric; `vczoo list --parts metric` lists them. Repeatable."),
    ] = None,
    normalizer: Annotated[str, typer.Option(help="How transcripts are compared: basic or whisper-english.")] = "basic",
    out: Annotated[
        Path | None, typer.Option(help="Folder for metrics.json and plots. Default: RUN/evaluation.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the conversions as WAV files in that folder.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier evaluation in that folder.")
    ] = False,
    results: Annotated[
        Path | None, typer.Option(help="Results file (.csv) to append the figures to; `vczoo results` shows it.")
    ] = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Convert a list of trials, and measure the conversions, the unconverted sources and real speech.

    With --data, score what the heads predict of recordings instead: words, labels, or a plugin's own task.
    """
    from vczoo.conversion.evaluate import evaluate as measure

    if data is not None and results is not None:
        raise VczooError("--results keeps the figures of conversions (--trials); with --data, use --json instead")
    if data is not None and trials is None:
        from vczoo.training.head_evaluation import evaluate_heads

        figures = evaluate_heads(as_run(run), data, split=cast("Split", split), device=device)
        if json:
            print_json(figures)
            return
        print_table([{"figure": name, "value": f"{value:.4g}"} for name, value in figures.items()])
        return
    if trials is None or data is not None:
        raise VczooError(
            "evaluate needs either --trials, to measure conversions, or --data, to score what heads predict; give one"
        )
    with interruptible("no figures were written"):
        report = measure(
            as_run(run),
            trials,
            root=root,
            references=references,
            asr=asr or (),
            speaker=speaker,
            naturalness=naturalness,
            metrics=metric or (),
            normalizer=normalizer,
            out=out,
            keep=keep,
            overwrite=overwrite,
            results=results,
            device=device,
            say=print_note,
        )
    page = _add_reports(report.folder) if report.folder else ""
    if json:
        print_json(report.to_plain() | {"folder": report.folder})
        return
    print_table(report.rows("measure"))
    for line in report.footnotes():
        print_line(line)
    if report.folder:
        print_line(f"{report.folder}: metrics.json, similarity.png, contours.png, mels.png{page}")


def _add_reports(folder: Path) -> str:
    """Write the report of an evaluation, and write that of its run again, which says how it was evaluated."""
    page = add_report(folder)
    if page and folder.name == "evaluation" and (folder.parent / page.name).is_file():
        add_report(folder.parent)
    return f", {page.name}" if page else ""


COMMANDS: dict[str, Callable[..., None]] = {"evaluate": evaluate}
