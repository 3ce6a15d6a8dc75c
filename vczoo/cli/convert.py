"""The commands that use a run's voices: each calls one function and prints what it gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from vczoo.cli.terminal import as_run, print_line, print_table
from vczoo.errors import VczooError
from vczoo.io.files import is_folder_with

__all__ = ["COMMANDS"]

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or owner/name[@revision] on the Hub.")]


def convert(
    run: RunName,
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A recording (WAV, FLAC, OGG or MP3), or a folder of them.")
    ],
    voice: Annotated[str, typer.Option(help="Whose voice, or a mix: alice:0.7,bob:0.3.")],
    out: Annotated[Path, typer.Option(help="The file to make; from a folder, the folder.")],
    semitones: Annotated[
        str, typer.Option(help="Semitones to move pitch by, or auto: to the voice's mean.", metavar="SEMITONES|auto")
    ] = "auto",
    jobs: Annotated[int, typer.Option(help="From a folder: processes at a time.")] = 1,
    suffix: Annotated[str, typer.Option(help="From a folder: .wav, .flac, .ogg, .mp3, or keep: as it was.")] = ".wav",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out names if it exists.")] = False,
    mark: Annotated[
        bool, typer.Option(help="Say in each file's metadata that it is synthetic; `vczoo provenance` reads it.")
    ] = True,
    watermark: Annotated[str, typer.Option(metavar="NAME", help="Embed this plugin's inaudible watermark, too.")] = "",
) -> None:
    """Say in a voice what a recording says, or every recording below a folder.

    Each file is marked as synthetic in its metadata, with recipe, run and voice; --no-mark leaves that out.
    """
    if source.is_file() and out.exists() and not overwrite:
        raise VczooError(f"{out} exists; choose another --out, or give --overwrite")
    try:
        shift = None if semitones == "auto" else float(semitones)
    except ValueError:
        raise VczooError(f"--semitones is a number or auto, got {semitones!r}") from None
    told = ", marked as synthetic" * mark + f", with the watermark {watermark}" * bool(watermark)
    try:
        if source.is_dir():
            from vczoo.conversion.folder import convert_folder

            made = convert_folder(
                _load(run),
                source,
                out,
                voice,
                semitones=shift,
                suffix=suffix,
                jobs=jobs,
                overwrite=overwrite,
                mark=mark,
                watermark=watermark,
            )
            seconds = sum(one.seconds for one in made)
            print_line(f"{out}: {len(made)} recordings, {seconds:.1f} s in the voice of {voice}{told}")
            return
        from vczoo.audio.reader import SoundReader
        from vczoo.io.progress import FileBar

        converter, reader = _load(run), SoundReader(source)
        with FileBar(reader.seconds, "s") as bar:
            seconds = converter.convert_file(
                source,
                out,
                voice,
                semitones=shift,
                overwrite=overwrite,
                mark=mark,
                watermark=watermark,
                watch=bar.reach,
            )
        print_line(f"{out}: {seconds:.1f} s in the voice of {voice}{told}")
    except KeyboardInterrupt:
        print_line("interrupted; what was finished stays, and no half file was left", to_stderr=True)
        raise typer.Exit(130) from None


def provenance(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Sound files (WAV, FLAC, OGG or MP3).")],
    watermark: Annotated[str, typer.Option(metavar="NAME", help="Look for this plugin's watermark, too.")] = "",
) -> None:
    """Say whether files are marked as synthetic, and what made them.

    Exit status: 0 if every file has a mark (or the watermark, with 0.5 or more), 1 if one has none, 2 if one cannot be
    read.
    """
    from vczoo.audio.reader import read_mark
    from vczoo.errors import AudioError

    detect = _detector(watermark) if watermark else None
    status = 0
    for file in files:
        try:
            mark, probability = read_mark(file), detect(file) if detect else 0.0
        except AudioError as error:
            print_line(f"error: {error}", to_stderr=True)
            status = 2
            continue
        print_line(f"{file}: {mark or 'no mark of vczoo, which proves nothing: marks are easily lost and removed'}")
        if detect:
            print_line(f"{file}: watermark {watermark} with probability {probability:.3f}")
        status = max(status, int(mark is None and probability < 0.5))
    raise typer.Exit(status)


def enroll(
    run: RunName,
    name: Annotated[str, typer.Argument(metavar="VOICE", help="Name of the new voice.")],
    recordings: Annotated[list[Path], typer.Argument(metavar="RECORDING...", help="Recordings of it.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the voice if it is there.")] = False,
    out: Annotated[Path | None, typer.Option(help="A new folder for the run with that voice; else it is RUN.")] = None,
) -> None:
    """Add a voice to a run from recordings of it, with no training."""
    if out is None and not is_folder_with(Path(run), "vczoo.yaml"):
        raise VczooError(f"{run} is no run's folder, to which a voice could be added; --out names a new one")
    converter = _load(run)
    converter.enroll(name, recordings, overwrite=overwrite)
    converter.save(out or run, overwrite=out is None)
    print_line(f"{out or run}: voices {', '.join(converter.voices)}")


def identify(
    run: RunName, recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="Who speaks in it?")]
) -> None:
    """Compare a recording with each voice: cosine of the speaker embeddings, the nearest first."""
    scores = _load(run).identify(recording)
    print_table([{"voice": name, "cosine": f"{score:.3f}"} for name, score in scores.items()])


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or a recipe.")],
    trials: Annotated[Path, typer.Option(help="A .csv file: source, source_speaker, voice; if known text, parallel.")],
    root: Annotated[Path | None, typer.Option(help="The folder that the paths in --trials are relative to.")] = None,
    references: Annotated[
        Path | None, typer.Option(help="Real speech of the voices: a manifest or a folder SPEAKER/*.wav.")
    ] = None,
    asr: Annotated[
        list[str] | None, typer.Option(help="faster-whisper:SIZE, transformers:ID, pocketsphinx; repeatable.")
    ] = None,
    speaker: Annotated[str, typer.Option(help="resemblyzer or xvector:ID.")] = "resemblyzer",
    naturalness: Annotated[bool, typer.Option(help="Measure DNSMOS, too.")] = True,
    out: Annotated[
        Path | None, typer.Option(help="Folder for metrics.json and plots; RUN/evaluation if not given.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the conversions as WAV files there.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier evaluation there.")] = False,
) -> None:
    """Convert a list of trials and measure what comes out, beside the unconverted sources and real speech."""
    from vczoo.conversion.evaluate import evaluate as measure

    report = measure(
        as_run(run),
        trials,
        root=root,
        references=references,
        asr=asr or (),
        speaker=speaker,
        naturalness=naturalness,
        out=out,
        keep=keep,
        overwrite=overwrite,
        say=lambda line: print_line(line, to_stderr=True),
    )
    print_table(report.rows("measure"))
    for line in report.footnotes():
        print_line(line)
    if report.folder:
        print_line(f"{report.folder}: metrics.json, similarity.png, contours.png, mels.png")


COMMANDS: dict[str, Callable[..., None]] = {
    "convert": convert,
    "provenance": provenance,
    "enroll": enroll,
    "identify": identify,
    "evaluate": evaluate,
}


def _load(run: str) -> Any:
    from vczoo.conversion.load import load

    return load(as_run(run))


def _detector(name: str) -> Callable[[Path], float]:
    """The probability of a watermark by file; it is loaded once."""
    from vczoo.audio.waveform import Waveform
    from vczoo.conversion.watermark import detect_watermark, load_watermark

    watermark = load_watermark(name)
    return lambda file: detect_watermark(watermark, Waveform.read(file))
