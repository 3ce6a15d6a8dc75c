"""The command that converts recordings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vczoo.cli.terminal import Channel, Device, RunName, interruptible, load_run, print_line, print_note
from vczoo.cli.voices import check_voice, refuse_untrained
from vczoo.errors import VczooError

if TYPE_CHECKING:
    from vczoo.audio.writer import Depth
    from vczoo.conversion.converter import Converter

__all__ = ["COMMANDS"]


def convert(
    run: RunName,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE", help="Recordings in any format, 'takes/*.wav', or a folder; - is standard input."
        ),
    ],
    voice: Annotated[
        str,
        typer.Option(
            metavar="VOICE",
            help="A voice of RUN, a recording or folder of the target speaker, or a mix: alice:0.7,me.wav:0.3. "
            "Default: the only voice.",
        ),
    ] = "",
    out: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Output file, or folder if it exists, ends in / or there are several sources; or a pattern: "
            "'made/{name}-{voice}.wav', with {folder} for the folder of the recording; - is standard output. Default: "
            "SOURCE-as-VOICE.wav here.",
        ),
    ] = "",
    semitones: Annotated[
        str,
        typer.Option(
            help="Pitch shift in semitones; auto shifts to the mean pitch of the voice.", metavar="SEMITONES|auto"
        ),
    ] = "auto",
    jobs: Annotated[int, typer.Option(help="Number of parallel processes, for several recordings.")] = 1,
    suffix: Annotated[str, typer.Option(help="Output format in a folder: .wav, .flac, .ogg, .mp3, or keep.")] = ".wav",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing output files.")] = False,
    mark: Annotated[
        bool, typer.Option(help="Mark each file as synthetic in its metadata; `vczoo provenance` reads the mark.")
    ] = True,
    watermark: Annotated[str, typer.Option(metavar="NAME", help="Also embed this plugin's inaudible watermark.")] = "",
    channel: Channel = None,
    depth: Annotated[
        str, typer.Option(metavar="16|24|float", help="Bits of a sample: 24 for .wav and .flac, float for .wav.")
    ] = "16",
    device: Device = None,
) -> None:
    """Convert recordings, or every recording in a folder and its subfolders, to a voice.

    Each output file is marked as synthetic in its metadata, with the recipe, run and voice; --no-mark turns that off.
    """
    from vczoo.cli.pipes import piped
    from vczoo.cli.sources import expand_sources, plan_outputs

    with piped(sources, out, suffix) as (words, target):
        paths = expand_sources(words)
        pairs = plan_outputs(paths, target, voice, suffix, overwrite=overwrite, depth=cast("Depth", depth))
        check_voice(run, voice)
        options = {
            "semitones": _read_semitones(semitones),
            "overwrite": overwrite,
            "mark": mark,
            "watermark": watermark,
            "channel": channel,
            "depth": depth,
        }
        with interruptible("finished files are kept, and no incomplete file was left"):
            converter = load_run(run, device)
            refuse_untrained(run, converter)
            summary = _convert(converter, pairs, voice or None, jobs, options)
    if target == out:
        print_line(summary)
    else:
        print_note(summary.replace(target, "standard output"))


def _read_semitones(text: str) -> float | None:
    """Parse --semitones; None is auto."""
    from vczoo.audio.pitch import log_ratio

    if text == "auto":
        return None
    try:
        semitones = float(text)
    except ValueError:
        raise VczooError(f"--semitones must be a number or auto, got {text!r}") from None
    log_ratio(semitones)
    return semitones


def _convert(
    converter: Converter, pairs: list[tuple[Path, Path]], voice: str | None, jobs: int, options: dict[str, Any]
) -> str:
    """Convert one recording with a progress bar in seconds, or several with one in files; return what was made.

    Args:
        converter: The loaded run.
        pairs: Each recording, with the file to write.
        voice: Text of --voice; None is the only voice.
        jobs: Number of processes.
        options: Further arguments of `Converter.convert_file`.
    """
    from vczoo.audio.reader import SoundReader
    from vczoo.conversion.folder import convert_files
    from vczoo.io.progress import FileBar
    from vczoo.io.temporary import sweep_partials

    converter, shares = converter.with_references(voice)
    if len(pairs) == 1:
        source, out = pairs[0]
        sweep_partials(out.parent)
        with FileBar(SoundReader(source, options["channel"]).seconds, "s") as bar:
            seconds = converter.convert_file(source, out, shares, watch=bar.reach, **options)
        made = f"{out}: {seconds:.1f} s"
    else:
        conversions = convert_files(converter, pairs, shares, jobs=jobs, **options)
        seconds = sum(conversion.seconds for conversion in conversions)
        folder = os.path.commonpath([out.parent for _, out in pairs]) or "."
        made = f"{folder}: {len(conversions)} recordings, {seconds:.1f} s"
    mix = ", ".join(name if share == 1 else f"{name}:{share:g}" for name, share in shares.items())
    watermark = options["watermark"]
    markings = ", marked as synthetic" * options["mark"] + f", with the watermark {watermark}" * bool(watermark)
    return f"{made} in the voice of {mix}{markings}"


COMMANDS: dict[str, Callable[..., None]] = {"convert": convert}
