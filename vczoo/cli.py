"""The command line: each command calls one function and prints what it gives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from vczoo.errors import VczooError
from vczoo.files import is_folder_with
from vczoo.hub_commands import COMMANDS
from vczoo.launch import launch, launched, leads, leave
from vczoo.listing import part_rows, plugin_rows, recipe_rows
from vczoo.terminal import as_run as _as_run
from vczoo.terminal import print_line as _print
from vczoo.terminal import print_table as _table

app = typer.Typer(
    name="vczoo",
    help="A model zoo for voice conversion by transfer learning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change: training.epochs=3")
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or owner/name[@revision] on the Hub.")]


@app.command("list")
def list_(
    pattern: Annotated[str, typer.Argument(help="Names to show, as in a shell: 'vgg16*'.")] = "*",
    parts: Annotated[str, typer.Option(help="Show parts: backbone, freezing, head, vocoder, watermark or all.")] = "",
) -> None:
    """List recipes, or with --parts what recipes are made of."""
    rows = part_rows(parts, pattern) if parts else recipe_rows(pattern)
    if not rows and parts and pattern == "*":
        raise VczooError(f"no {parts} is installed; `vczoo plugins` lists the plugins")
    if not rows:
        raise VczooError(f"nothing is called {pattern!r}; `vczoo list{f' --parts {parts}' if parts else ''}` lists all")
    _table(rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe, its .yaml file, or a run.")],
    overrides: Overrides = None,
) -> None:
    """Show a recipe, resolved: everything that it extends merged into it. Of a run, its figures too."""
    from vczoo.converter import read_name
    from vczoo.recipe import read_recipe

    kind, place = read_name(_as_run(name))
    if kind == "hub":
        raise VczooError(f"{place} is a speaker on the Hub; `vczoo info {place}` shows what it is")
    if kind == "run":
        from vczoo.run import describe_run

        _print(describe_run(Path(place)))
    else:
        _print(read_recipe(place, overrides or ()).to_yaml())


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="A recipe.")],
    file: Annotated[Path, typer.Argument(help="The .yaml file to make.")],
) -> None:
    """Make a recipe file that extends a recipe, to edit."""
    from vczoo.files import write_beside
    from vczoo.zoo import the_zoo

    recipe = the_zoo().recipe(name)
    if file.suffix not in {".yaml", ".yml"}:
        raise VczooError(f"{file}: a recipe file ends in .yaml, as in {file}.yaml")
    text = f"extends: {name}\n\n# What differs goes here. `vczoo show {name}` shows all there is; {name} itself says:\n"
    text += "".join(f"#   {line}".rstrip() + "\n" for line in recipe.read().splitlines())
    try:
        with write_beside(file, overwrite=False) as beside:
            beside.write_text(text, encoding="utf-8")
    except FileExistsError as error:
        raise VczooError(f"{file} exists; choose another name") from error
    _print(f"{file}: edit it, then `vczoo check {file}` and `vczoo train {file} --data … --out …`")


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe or its .yaml file.")],
    overrides: Overrides = None,
) -> None:
    """Check a recipe down to the contracts between its parts; nothing is downloaded."""
    from vczoo.assembly import checked_recipe

    recipe = checked_recipe(name, overrides or ())
    _print(f"{recipe.name}: no fault found")


@app.command()
def train(
    name: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe, its .yaml file, or a run that shall learn more speakers.")
    ],
    data: Annotated[list[Path], typer.Option(help="A folder SPEAKER/*.wav, or a .csv or .jsonl manifest; repeatable.")],
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    overrides: Overrides = None,
    rehearse: Annotated[
        bool, typer.Option(help="From a run: keep its speakers, or only its weights.", show_default="keep them")
    ] = True,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted fine-tune in --out.")] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for what frozen stages give; the user's cache if not given.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run frozen stages again in every epoch.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Processes that train together, through Accelerate.")] = 1,
    shard: Annotated[
        bool, typer.Option("--shard", help="Each process holds a part of what trains (FSDP), not all of it.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; a GPU where there is one.")] = None,
    log: Annotated[
        list[str] | None, typer.Option(help="Log epochs to tensorboard, trackio, wandb or mlflow; repeatable.")
    ] = None,
) -> None:
    """Fine-tune a recipe on recordings, or teach a run additional speakers."""
    if processes > 1 and not launched():
        raise typer.Exit(launch(sys.argv[1:], processes, device))
    from vczoo.train import finetune

    try:
        converter = finetune(
            _as_run(name),
            data,
            out,
            overrides or (),
            rehearse=rehearse,
            resume=resume,
            cache=False if no_cache else cache or True,
            shard=shard,
            device=device,
            log=log or (),
        )
    except KeyboardInterrupt:
        if leads():
            _print(f"interrupted; the same command with --resume goes on from {out}", to_stderr=True)
        raise typer.Exit(130) from None
    if not leads():
        return
    metrics = converter.metrics
    _print(f"{out}: voices {', '.join(converter.voices)}")
    figures = " ".join(f"{figure} {value:.3f}" for figure, value in metrics["test"].items()) or "no utterance"
    _print(f"test: {figures} (best epoch {metrics['best_epoch']}, {metrics['seconds']:.0f} s)")
    for age, accuracies in metrics.get("extension", {}).items():
        before, after = accuracies["before"]["accuracy"], accuracies["after"]["accuracy"]
        _print(f"{age} speakers: test accuracy {before:.3f} before, {after:.3f} after")


@app.command("find-rate")
def find_rate(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe, its .yaml file, or a run that is tuned.")],
    data: Annotated[list[Path], typer.Option(help="A folder SPEAKER/*.wav, or a .csv or .jsonl manifest; repeatable.")],
    overrides: Overrides = None,
    steps: Annotated[int, typer.Option(help="Mini-batches, at most.")] = 100,
    out: Annotated[Path | None, typer.Option(help="A .png file to draw the loss over the rate in.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; a GPU where there is one.")] = None,
) -> None:
    """Find a learning rate: train a few steps with a rising one, keep nothing, say where the loss fell."""
    from vczoo.rate_finder import find_learning_rate

    found = find_learning_rate(_as_run(name), data, overrides or (), steps=steps, out=out, device=device)
    _table(found.rows())
    _print(found.override)


@app.command("train-vocoder")
def train_vocoder(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe or its .yaml file; its vocoder is trained.")],
    data: Annotated[list[Path], typer.Option(help="A folder SPEAKER/*.wav, or a .csv or .jsonl manifest; repeatable.")],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training in --out.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; a GPU where there is one.")] = None,
) -> None:
    """Train or fine-tune a recipe's vocoder by itself, on recordings of anybody."""
    from vczoo.vocoder_training import train_vocoder as train_it

    try:
        trained = train_it(name, data, out, overrides or (), resume=resume, device=device)
    except KeyboardInterrupt:
        _print(f"interrupted; the same command with --resume goes on from {out}", to_stderr=True)
        raise typer.Exit(130) from None
    last = trained.history[-1]
    figures = ", ".join(
        f"{figure} {value:.3f} (griffin-lim {last['griffin_lim'][figure]:.3f})"
        for figure, value in last["validation"].items()
    )
    _print(f"validation: {figures} ({trained.seconds:.0f} s)")
    _print(f"{trained.file}: use it in a recipe of this vocoder with vocoder.weights={trained.file}")


@app.command()
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
            from vczoo.folder import convert_folder

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
            _print(f"{out}: {len(made)} recordings, {seconds:.1f} s in the voice of {voice}{told}")
            return
        from vczoo.progress import FileBar
        from vczoo.sound_file import SoundReader

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
        _print(f"{out}: {seconds:.1f} s in the voice of {voice}{told}")
    except KeyboardInterrupt:
        _print("interrupted; what was finished stays, and no half file was left", to_stderr=True)
        raise typer.Exit(130) from None


@app.command()
def provenance(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Sound files (WAV, FLAC, OGG or MP3).")],
    watermark: Annotated[str, typer.Option(metavar="NAME", help="Look for this plugin's watermark, too.")] = "",
) -> None:
    """Say whether files are marked as synthetic, and what made them.

    Exit status: 0 if every file has a mark (or the watermark, with 0.5 or more), 1 if one has none, 2 if one cannot be
    read.
    """
    from vczoo.errors import AudioError
    from vczoo.sound_file import read_mark

    detect = _detector(watermark) if watermark else None
    status = 0
    for file in files:
        try:
            mark, probability = read_mark(file), detect(file) if detect else 0.0
        except AudioError as error:
            _print(f"error: {error}", to_stderr=True)
            status = 2
            continue
        _print(f"{file}: {mark or 'no mark of vczoo, which proves nothing: marks are easily lost and removed'}")
        if detect:
            _print(f"{file}: watermark {watermark} with probability {probability:.3f}")
        status = max(status, int(mark is None and probability < 0.5))
    raise typer.Exit(status)


@app.command()
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
    _print(f"{out or run}: voices {', '.join(converter.voices)}")


@app.command()
def identify(
    run: RunName, recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="Who speaks in it?")]
) -> None:
    """Compare a recording with each voice: cosine of the speaker embeddings, the nearest first."""
    scores = _load(run).identify(recording)
    _table([{"voice": name, "cosine": f"{score:.3f}"} for name, score in scores.items()])


@app.command()
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
    from vczoo.run_evaluation import evaluate as measure

    report = measure(
        _as_run(run),
        trials,
        root=root,
        references=references,
        asr=asr or (),
        speaker=speaker,
        naturalness=naturalness,
        out=out,
        keep=keep,
        overwrite=overwrite,
        say=lambda line: _print(line, to_stderr=True),
    )
    _table(report.rows("measure"))
    for line in report.footnotes():
        _print(line)
    if report.folder:
        _print(f"{report.folder}: metrics.json, similarity.png, contours.png, mels.png")


@app.command()
def plugins() -> None:
    """List the plugins, where they come from and whether they load."""
    _table(plugin_rows())


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder to make.")] = Path("vczoo-demo"),
) -> None:
    """Fine-tune, convert and enrol on synthetic speech, offline. Takes one to two minutes."""
    from vczoo.demo import run_demo

    rows, files = run_demo(out)
    _table(rows)
    _print("(similarity: cosine of the model's own speaker embedding to the voice's, -1 to 1)")
    for file in files:
        _print(str(file))


for command in COMMANDS:
    app.command()(command)


def main() -> NoReturn:
    """Run the command line; a caller's mistake becomes one message and exit status 1."""
    status = 0
    try:
        app()
    except VczooError as error:
        _print(f"error: {error}", to_stderr=True)
        status = 1
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    if launched():
        leave(status)
    sys.exit(status)


def _load(run: str) -> Any:
    from vczoo.converter import load

    return load(_as_run(run))


def _detector(name: str) -> Callable[[Path], float]:
    """The probability of a watermark by file; it is loaded once."""
    from vczoo.watermark import detect_watermark, load_watermark
    from vczoo.waveform import Waveform

    watermark = load_watermark(name)
    return lambda file: detect_watermark(watermark, Waveform.read(file))
