"""Commands that convert recordings, manage voices and evaluate runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from vczoo.cli.terminal import Device, as_run, interruptible, print_line, print_table
from vczoo.cli.voices import check_voice, refuse_untrained
from vczoo.errors import VczooError
from vczoo.io.files import is_folder_with

if TYPE_CHECKING:
    from vczoo.conversion.converter import Converter
    from vczoo.data.columns import Split

__all__ = ["COMMANDS"]

Channel = Annotated[
    str | None,
    typer.Option(help="Channel of a stereo recording: left, right or mix. Default: their average, if it has sound."),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or owner/name[@revision] on the Hub.")]


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
        converter = _load(run, device)
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


def provenance(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Sound files.")],
    watermark: Annotated[str, typer.Option(metavar="NAME", help="Also look for this plugin's watermark.")] = "",
) -> None:
    """Show whether files are marked as synthetic, and which model made them.

    Exit status: 0 if every file has a mark (or the watermark, with probability 0.5 or more), 1 if a file has none, 2 if
    a file cannot be read.
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
        print_line(
            f"{file}: {mark or 'no mark from vczoo; this proves nothing, since marks are easily lost or removed'}"
        )
        if detect:
            print_line(f"{file}: watermark {watermark} with probability {probability:.3f}")
        status = max(status, int(mark is None and probability < 0.5))
    raise typer.Exit(status)


def enroll(
    run: RunName,
    name: Annotated[str, typer.Argument(metavar="VOICE", help="Name of the new voice.")],
    recordings: Annotated[
        list[Path], typer.Argument(metavar="RECORDING", help="Recordings of the new voice, or folders of them.")
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the voice if it already exists.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="New folder for the run with the added voice. Default: change RUN itself.")
    ] = None,
    channel: Channel = None,
    denoise: Annotated[
        bool, typer.Option("--denoise", help="Remove noise from the recordings first. Needs the extra denoise.")
    ] = False,
    device: Device = None,
) -> None:
    """Add a voice to a run from recordings of it, without training."""
    if out is None and not is_folder_with(Path(run), "vczoo.yaml"):
        raise VczooError(
            f"{run} is not a local run folder, so it cannot be changed; use --out to save the run to a new folder"
        )
    from vczoo.data.listing import expand_recordings
    from vczoo.io.names import name_fault
    from vczoo.io.text import truncated_list
    from vczoo.runs.run import own_voices
    from vczoo.runs.turn import changing

    if fault := name_fault(name):
        raise VczooError(f"{fault}; choose another name for the voice")
    passed_over: list[str] = []
    paths = expand_recordings(recordings, passed_over)
    # From loading to saving, nobody else may add a voice, which saving would undo.
    turn = nullcontext() if out else changing(Path(run), lambda message: print_line(message, to_stderr=True))
    with interruptible(f"{'nothing was written' if out else f'{run} is unchanged'}"), turn:
        converter = _load(run, device)
        advice = converter.enroll(name, paths, overwrite=overwrite, channel=channel, denoise=denoise)
        converter.save(out or run, overwrite=out is None)
    if passed_over:
        lines = ["passed over, because they are not audio:", *truncated_list(passed_over)]
        print_line("\n  ".join(lines), to_stderr=True)
    kept = own_voices(converter.run)
    print_line(f"{out or run}: voices {', '.join(kept)}")
    print_line(f"{name}: {advice}")
    if bundled := [voice for voice in converter.voices if voice not in kept]:
        print_line(
            f"not saved, because they come with {run} and are not yours to share: {', '.join(bundled)}\n"
            f"(`vczoo convert {run}` converts to them)"
        )


def identify(
    run: RunName,
    recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="A recording of the speaker to identify.")],
    device: Device = None,
) -> None:
    """Compare a recording with each voice, by the cosine of their speaker embeddings. Lists the nearest voice first."""
    scores = _load(run, device).identify(recording)
    print_table([{"voice": name, "cosine": f"{score:.3f}"} for name, score in scores.items()])
    if len(scores) == 1:
        print_line(
            "(There is one voice, so the nearest says nothing about who speaks. Compare the cosine with that of "
            "recordings of this speaker, and of others; it is at most 1.)",
            to_stderr=True,
        )


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
    speaker: Annotated[str, typer.Option(help="resemblyzer or xvector:ID.")] = "resemblyzer",
    naturalness: Annotated[bool, typer.Option(help="Also measure DNSMOS.")] = True,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="A further metric; `vczoo list --parts metric` lists them. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for metrics.json and plots. Default: RUN/evaluation.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the conversions as WAV files in that folder.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier evaluation in that folder.")
    ] = False,
    device: Device = None,
) -> None:
    """Convert a list of trials, and measure the conversions, the unconverted sources and real speech.

    With --data, score what the heads predict of recordings instead: words, labels, or a plugin's own task.
    """
    from vczoo.conversion.evaluate import evaluate as measure

    if data is not None and trials is None:
        from vczoo.training.head_evaluation import evaluate_heads

        figures = evaluate_heads(as_run(run), data, split=cast("Split", split), device=device)
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
            out=out,
            keep=keep,
            overwrite=overwrite,
            device=device,
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


def _load(run: str, device: str | None) -> Converter:
    from vczoo.conversion.load import load

    return load(as_run(run), device=device)


def _detector(name: str) -> Callable[[Path], float]:
    """Load a watermark, and return a function from a file to the probability that it carries the watermark."""
    from vczoo.audio.waveform import Waveform
    from vczoo.conversion.watermark import detect_watermark, load_watermark

    watermark = load_watermark(name)
    return lambda file: detect_watermark(watermark, Waveform.read(file))
