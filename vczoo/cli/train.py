"""The commands that train: each calls one function and prints what it gives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from vczoo.cli.launch import launch, launched, leads
from vczoo.cli.terminal import Overrides, as_run, print_line, print_table

__all__ = ["COMMANDS"]


def train(
    name: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe, its .yaml file, or a run that shall learn more speakers.")
    ],
    data: Annotated[list[Path], typer.Option(help="A folder SPEAKER/*.wav, or a .csv or .jsonl manifest; repeatable.")],
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    overrides: Overrides = None,
    minutes: Annotated[
        float | None, typer.Option(help="Of each speaker's training speech, at most.", show_default="all")
    ] = None,
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
    from vczoo.io.text import truncated_list
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
        )
    except KeyboardInterrupt:
        if leads():
            print_line(f"interrupted; the same command with --resume goes on from {out}", to_stderr=True)
        raise typer.Exit(130) from None
    if not leads():
        return
    metrics = converter.metrics
    knows = {"voices": converter.voices, "labels": converter.labels}
    told = "; ".join(f"{what} {', '.join(truncated_list(names))}" for what, names in knows.items() if names)
    writes = "text" in converter.model.tasks.values()
    print_line(f"{out}: {told or ('it transcribes' if writes else 'no voices: a backbone to start from')}")
    figures = " ".join(f"{figure} {value:.3f}" for figure, value in metrics["test"].items()) or "no utterance"
    print_line(f"test: {figures} (best epoch {metrics['best_epoch']}, {metrics['seconds']:.0f} s)")
    for age, accuracies in metrics.get("extension", {}).items():
        before, after = accuracies["before"]["accuracy"], accuracies["after"]["accuracy"]
        print_line(f"{age} speakers: test accuracy {before:.3f} before, {after:.3f} after")


def find_rate(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe, its .yaml file, or a run that is tuned.")],
    data: Annotated[list[Path], typer.Option(help="A folder SPEAKER/*.wav, or a .csv or .jsonl manifest; repeatable.")],
    overrides: Overrides = None,
    steps: Annotated[int, typer.Option(help="Mini-batches, at most.")] = 100,
    out: Annotated[Path | None, typer.Option(help="A .png file to draw the loss over the rate in.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; a GPU where there is one.")] = None,
) -> None:
    """Find a learning rate: train a few steps with a rising one, keep nothing, say where the loss fell."""
    from vczoo.training.lr_finder import find_learning_rate

    found = find_learning_rate(as_run(name), data, overrides or (), steps=steps, out=out, device=device)
    print_table(found.rows())
    print_line(found.override)


def train_vocoder(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe or its .yaml file; its vocoder is trained.")],
    data: Annotated[list[Path], typer.Option(help="A folder SPEAKER/*.wav, or a .csv or .jsonl manifest; repeatable.")],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training in --out.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; a GPU where there is one.")] = None,
) -> None:
    """Train or fine-tune a recipe's vocoder by itself, on recordings of anybody."""
    from vczoo.training.vocoder.train import train_vocoder as train_it

    try:
        trained = train_it(name, data, out, overrides or (), resume=resume, device=device)
    except KeyboardInterrupt:
        print_line(f"interrupted; the same command with --resume goes on from {out}", to_stderr=True)
        raise typer.Exit(130) from None
    last = trained.history[-1]
    figures = ", ".join(
        f"{figure} {value:.3f} (griffin-lim {last['griffin_lim'][figure]:.3f})"
        for figure, value in last["validation"].items()
    )
    print_line(f"validation: {figures} ({trained.seconds:.0f} s)")
    print_line(f"{trained.file}: use it in a recipe of this vocoder with vocoder.weights={trained.file}")


COMMANDS: dict[str, Callable[..., None]] = {"train": train, "find-rate": find_rate, "train-vocoder": train_vocoder}
