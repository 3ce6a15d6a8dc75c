"""The command that converts recordings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vczoo.cli.terminal import Channel, Device, RunName, interruptible, load_run, print_line
from vczoo.cli.voices import check_voice, refuse_untrained
from vczoo.errors import VczooError

if TYPE_CHECKING:
    from vczoo.conversion.converter import Converter

__all__ = ["COMMANDS"]


def convert(
    run: RunName,
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Recordings in any format, 'takes/*.wav', or a folder."),
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
            help="Output file, or folder if it exists, ends in / or there are several sources. Default: "
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
    device: Device = None,
) -> None:
    """Convert recordings, or every recording in a folder and its subfolders, to a voice.

    Each output file is marked as synthetic in its metadata, with the recipe, run and voice; --no-mark turns that off.
    """
    from vczoo.cli.sources import expand_sources, plan_outputs

    paths = expand_sources(sources)
    pairs = plan_outputs(paths, out, voice, suffix, overwrite=overwrite)
    check_voice(run, voice)
    shift = _read_semitones(semitones)
    with interruptible("finished files are kept, and no incomplete file was left"):
        converter = load_run(run, device)
        refuse_untrained(run, converter)
        _convert(converter, pairs, voice or None, shift, jobs, overwrite, mark, watermark, channel)


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
    converter: Converter,
    pairs: list[tuple[Path, Path]],
    voice: str | None,
    semitones: float | None,
    jobs: int,
    overwrite: bool,
    mark: bool,
    watermark: str,
    channel: str | None,
) -> None:
    """Convert one recording with a progress bar in seconds, or several with one in files, and print what was made."""
    from vczoo.audio.reader import SoundReader
    from vczoo.conversion.folder import convert_files
    from vczoo.io.files import sweep_partials
    from vczoo.io.progress import FileBar

    converter, shares = converter.with_references(voice)
    if len(pairs) == 1:
        source, out = pairs[0]
        sweep_partials(out.parent)
        with FileBar(SoundReader(source, channel).seconds, "s") as bar:
            seconds = converter.convert_file(
                source,
                out,
                shares,
                semitones=semitones,
                overwrite=overwrite,
                mark=mark,
                watermark=watermark,
                channel=channel,
                watch=bar.reach,
            )
        made = f"{out}: {seconds:.1f} s"
    else:
        conversions = convert_files(
            converter,
            pairs,
            shares,
            semitones=semitones,
            jobs=jobs,
            overwrite=overwrite,
            mark=mark,
            watermark=watermark,
            channel=channel,
        )
        seconds = sum(conversion.seconds for conversion in conversions)
        folder = os.path.commonpath([out.parent for _, out in pairs]) or "."
        made = f"{folder}: {len(conversions)} recordings, {seconds:.1f} s"
    mix = ", ".join(name if share == 1 else f"{name}:{share:g}" for name, share in shares.items())
    markings = ", marked as synthetic" * mark + f", with the watermark {watermark}" * bool(watermark)
    print_line(f"{made} in the voice of {mix}{markings}")


COMMANDS: dict[str, Callable[..., None]] = {"convert": convert}
