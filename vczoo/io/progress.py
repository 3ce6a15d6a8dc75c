"""Training callbacks and progress display: a progress bar on a terminal, and one line per epoch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vczoo.io.console import progress_console
from vczoo.io.log import is_quiet
from vczoo.io.text import harmless

__all__ = ["Callback", "CallbackList", "FileBar", "NullProgress", "ProgressBar", "distinct_figures"]

LINE_WIDTH = 80  # characters, at most, of the line of an epoch


class Callback:
    """Follows a training, for example to draw a progress bar. Override the methods that you need; here they do nothing.

    The methods are called in the order in which they are listed. An exception ends the training.
    """

    def start(self, trainer: Any) -> None:
        """Called before the first step, also of a resumed training, with the `vczoo.Trainer` and its `state`."""

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Called when training starts or resumes.

        Args:
            epochs: The most epochs that training takes.
            steps: Steps per epoch.
            done: Steps that are already done.
        """

    def hearing(self, done: int, total: int) -> None:
        """Called while the frozen stages run over the recordings whose features are not cached yet.

        Args:
            done: Recordings that are done.
            total: Recordings that have to be run.
        """

    def step(self, loss: float) -> None:
        """Called after each step with its training loss."""

    def validated(self, figures: dict[str, float]) -> None:
        """Called with the figures of each validation, before a checkpoint is written.

        Here is the place for `trainer.keep_weights()` and `trainer.stop()`.
        """

    def epoch(self, record: dict[str, Any]) -> None:
        """Called after each epoch with its record, which is one line of metrics.jsonl."""

    def end(self) -> None:
        """Called when training ends, also after an error or an interruption."""


class NullProgress(Callback):
    """A callback that displays nothing. Use it as a context manager."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def say(self, text: str) -> None:
        """Do nothing."""


class CallbackList(Callback):
    """A callback that forwards every call to several callbacks, in their order."""

    def __init__(self, *callbacks: Callback) -> None:
        self.callbacks = callbacks

    def start(self, trainer: Any) -> None:
        """Forward to every callback."""
        for callback in self.callbacks:
            callback.start(trainer)

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Forward to every callback."""
        for callback in self.callbacks:
            callback.begin(epochs, steps, done)

    def hearing(self, done: int, total: int) -> None:
        """Forward to every callback."""
        for callback in self.callbacks:
            callback.hearing(done, total)

    def step(self, loss: float) -> None:
        """Forward to every callback."""
        for callback in self.callbacks:
            callback.step(loss)

    def validated(self, figures: dict[str, float]) -> None:
        """Forward to every callback."""
        for callback in self.callbacks:
            callback.validated(figures)

    def epoch(self, record: dict[str, Any]) -> None:
        """Forward to every callback."""
        for callback in self.callbacks:
            callback.epoch(record)

    def end(self) -> None:
        """Forward to every callback, even if one of them fails."""
        with ExitStack() as stack:
            for callback in reversed(self.callbacks):
                stack.callback(callback.end)


def distinct_figures(figures: Mapping[str, float], hidden: Collection[str] = ()) -> dict[str, float]:
    """The figures to print: `loss` first, then one or more of each head, and none twice.

    The loss of a head is left out if another figure describes the head, and every figure that equals one before it.

    Args:
        figures: Figures by name, as in metrics.jsonl.
        hidden: Heads whose figures mean nothing, such as a speaker classifier of one speaker.
    """
    heads = {name.rpartition(".")[0] for name in figures if not name.endswith("loss")}
    distinct: dict[str, float] = {}
    for name, value in sorted(figures.items(), key=lambda item: item[0] != "loss"):
        head, _, kind = name.rpartition(".")
        if head not in hidden and not (head in heads and kind == "loss") and value not in distinct.values():
            distinct[name] = value
    return distinct


class ProgressBar(Callback):
    """A callback that draws a progress bar on standard error. Use it as a context manager.

    It prints a table with one line per epoch. Figures that do not fit the line are only in metrics.jsonl.

    Args:
        hidden: Heads whose figures are not printed, because they mean nothing.
    """

    def __init__(self, hidden: Collection[str] = ()) -> None:
        self.hidden = hidden
        self.columns: dict[str, int] | None = None  # the width of each, once the heading is printed
        console = progress_console()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            console=console,
            disable=is_quiet() or not console.is_terminal,
            transient=True,
        )
        self.task = self.progress.add_task("fine-tuning", total=None, unit="steps")
        self.frozen = self.progress.add_task("frozen stages", total=None, visible=False, unit="recordings")

    def __enter__(self) -> ProgressBar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        """Print text above the bar, unless the logger is quiet."""
        if is_quiet():
            return
        self.progress.console.print(harmless(text, "\n\t"), highlight=False, soft_wrap=True, markup=False)

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Set the total number of steps and the number of steps that are done."""
        self.progress.update(self.task, total=epochs * steps, completed=done)

    def hearing(self, done: int, total: int) -> None:
        """Show how many recordings the frozen stages have processed."""
        self.progress.update(self.frozen, total=total, completed=done, visible=done < total)

    def step(self, loss: float) -> None:
        """Advance by one step and show its loss."""
        self.progress.update(self.task, advance=1, description=f"fine-tuning, loss {loss:.3f}")

    def epoch(self, record: dict[str, Any]) -> None:
        """Print one line for the epoch above the bar, under a heading before the first."""
        figures = distinct_figures(record["validation"], self.hidden)
        values = {
            "epoch": str(record["epoch"]),
            "train loss": f"{record['train']['loss']:.3f}",
            **{"validation loss" if name == "loss" else name: f"{value:.3f}" for name, value in figures.items()},
            "seconds": f"{record['seconds']:.1f}",
        }
        if self.columns is None:
            self.columns = {name: max(6, len(name)) for name in values}
            while sum(self.columns.values()) + 2 * (len(self.columns) - 1) > LINE_WIDTH and len(self.columns) > 4:
                self.columns.pop(list(self.columns)[-2])  # the seconds come last, and stay
            self.say("  ".join(f"{name:>{width}}" for name, width in self.columns.items()))
        self.say("  ".join(f"{values.get(name, ''):>{width}}" for name, width in self.columns.items()))


class FileBar:
    """A progress bar on standard error for conversions, over files or over the seconds of one file.

    Use it as a context manager.

    Args:
        total: Number of files, or length of the file in seconds.
        unit: Unit of `total`, for display.
    """

    def __init__(self, total: float, unit: str = "files") -> None:
        console = progress_console()
        self.progress = Progress(
            TextColumn("converting {task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
            TimeRemainingColumn(),
            console=console,
            disable=is_quiet() or not console.is_terminal,
            transient=True,
        )
        self.task = self.progress.add_task("", total=total, unit=unit)

    def __enter__(self) -> FileBar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def done(self, name: str) -> None:
        """Advance by one file and show its name."""
        self.progress.update(self.task, advance=1, description=harmless(name))

    def reach(self, place: float) -> None:
        """Move the bar to `place`, in the unit of the bar."""
        self.progress.update(self.task, completed=place)
