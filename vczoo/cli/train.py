"""Commands that fine-tune recipes, find learning rates and train vocoders."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vczoo.cli.json_output import Json, print_json
from vczoo.cli.launch import launch, launched, leads
from vczoo.cli.report import add_report
from vczoo.cli.terminal import Cache, Data, Device, NoCache, Overrides, Speaker, as_run, print_line, print_table

if TYPE_CHECKING:
    from vczoo.conversion.converter import Converter

__all__ = ["COMMANDS"]


def train(
    name: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe, its .yaml file, or a run to extend with new speakers.")
    ],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the new run.")],
    overrides: Overrides = None,
    voice: Speaker = None,
    minutes: Annotated[
        float | None, typer.Option(help="Most minutes of training speech per speaker.", show_default="all")
    ] = None,
    rehearse: Annotated[
        bool,
        typer.Option(help="When extending a run: keep its speakers, or only its weights.", show_default="keep them"),
    ] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the fine-tune in --out; train longer with more training.epochs.")
    ] = False,
    cache: Cache = None,
    no_cache: NoCache = False,
    processes: Annotated[
        int, typer.Option(min=1, max=128, help="Number of processes for distributed training (Accelerate).")
    ] = 1,
    shard: Annotated[
        bool, typer.Option("--shard", help="Shard the trained parameters across the processes (FSDP).")
    ] = False,
    device: Device = None,
    log: Annotated[
        list[str] | None, typer.Option(help="Log metrics to tensorboard, wandb, mlflow, …; repeatable.")
    ] = None,
) -> None:
    """Fine-tune a recipe on recordings, or add new speakers to a run."""
    if processes > 1 and not launched():
        raise typer.Exit(launch(sys.argv[1:], processes, device))
    from vczoo.training.finetune import finetune

    try:
        converter = finetune(
            as_run(name),
            data,
            out,
            overrides or (),
            minutes=minutes,
            rehearse=rehearse,
            resume=resume,
            cache=False if no_cache else cache or True,
            shard=shard,
            device=device,
            log=log or (),
            speaker=voice,
        )
    except KeyboardInterrupt:
        if leads():
            _print_interrupted(out)
        raise typer.Exit(130) from None
    if not leads():
        return
    page = add_report(converter)
    _print_summary(converter, out)
    if page:
        print_line(f"{page}: sounds, curves and figures; open it in a browser")


def find_rate(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe, its .yaml file, or a run to fine-tune.")],
    data: Data,
    overrides: Overrides = None,
    voice: Speaker = None,
    steps: Annotated[int, typer.Option(min=40, help="Maximum number of training steps.")] = 100,
    out: Annotated[Path | None, typer.Option(help="A .png file for a plot of the loss over the learning rate.")] = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Suggest a learning rate: train for a few steps while it rises, and see where the loss falls. Keeps nothing."""
    from vczoo.training.lr_finder import find_learning_rate

    search = find_learning_rate(as_run(name), data, overrides or (), steps=steps, out=out, device=device, speaker=voice)
    if json:
        print_json({"steepest": search.steepest, "tenth": search.tenth, "override": search.override})
        return
    print_table(search.rows())
    print_line(f"use the lower of the two: {search.override}")
    if out is not None:
        print_line(f"plot: {out}")


def train_vocoder(
    name: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe or its .yaml file, whose vocoder is trained.")
    ],
    data: Data,
    out: Annotated[Path, typer.Option(help="The folder to create.")],
    overrides: Overrides = None,
    voice: Speaker = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted training in --out.")] = False,
    device: Device = None,
) -> None:
    """Train or fine-tune only the vocoder of a recipe, on recordings of any speakers."""
    from vczoo.training.vocoder.train import train_vocoder as run_training

    try:
        trained = run_training(name, data, out, overrides or (), resume=resume, device=device, speaker=voice)
    except KeyboardInterrupt:
        _print_interrupted(out)
        raise typer.Exit(130) from None
    last = trained.history[-1]
    figures = ", ".join(
        f"{figure} {value:.3f} (griffin-lim {last['griffin_lim'][figure]:.3f})"
        for figure, value in last["validation"].items()
    )
    print_line(f"validation: {figures} ({trained.seconds:.0f} s)")
    print_line(f"{trained.file}: use it in a recipe with this vocoder: vocoder.weights={trained.file}")


def _print_summary(converter: Converter, out: Path) -> None:
    """Print what a new run can do, and how well it did on the test split."""
    from vczoo.io.progress import distinct_figures
    from vczoo.io.text import truncated_list

    metrics = converter.metrics
    outputs = {"voices": converter.voices, "labels": converter.labels}
    summary = "; ".join(f"{kind} {', '.join(truncated_list(names))}" for kind, names in outputs.items() if names)
    if not summary:
        transcribes = "text" in converter.model.tasks.values()
        summary = "transcribes speech" if transcribes else "no voices; use it as a pretrained backbone"
    print_line(f"{out}: {summary}")
    trivial = converter.model.speaker_heads if len(converter.speakers) == 1 else ()
    figures = [f"{name} {value:.3f}" for name, value in distinct_figures(metrics["test"], trivial).items()]
    shown = ", ".join(figures) or "no test utterances"
    print_line(f"test: {shown} ({_weights_in_words(metrics)}, {metrics['seconds']:.0f} s)")
    for age, accuracies in metrics.get("extension", {}).items():
        before, after = accuracies["before"]["accuracy"], accuracies["after"]["accuracy"]
        print_line(f"{age} speakers: test accuracy {before:.3f} before, {after:.3f} after")


def _print_interrupted(out: Path) -> None:
    """Print how an interrupted training can be continued."""
    from vczoo.training.checkpoints.checkpoint import CHECKPOINT

    if (out / CHECKPOINT).is_file():
        print_line(f"interrupted; run the same command with --resume to continue from {out}", to_stderr=True)
    else:
        print_line("interrupted before the first checkpoint; run the same command to start again", to_stderr=True)


def _weights_in_words(metrics: Mapping[str, Any]) -> str:
    """The epoch whose weights were kept and, if that is another one, the best epoch on validation."""
    best, kept = metrics["best_epoch"], metrics["kept_epoch"]
    if kept < 0:
        return "nothing to train"
    if kept == best:
        return f"weights of epoch {kept}, the best on validation"
    return f"weights of epoch {kept}, the last; epoch {best} was the best on validation"


COMMANDS: dict[str, Callable[..., None]] = {"train": train, "find-rate": find_rate, "train-vocoder": train_vocoder}
