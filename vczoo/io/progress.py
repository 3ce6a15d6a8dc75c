"""Training callbacks and progress display: a progress bar on a terminal, and one line per epoch."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["Callback", "CallbackList", "FileBar", "NullProgress", "ProgressBar"]


class Callback(Protocol):
    """Receives the progress of a training run, for example to draw a progress bar."""

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

    def epoch(self, record: dict[str, Any]) -> None:
        """Called after each epoch with its record, which is one line of metrics.jsonl."""


class NullProgress:
    """A callback that displays nothing. Use it as a context manager."""

    def __enter__(self) -> NullProgress:
        return self

    def __exit__(self, *_: object) -> None: ...

    def say(self, text: str) -> None:
        """Do nothing."""

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Do nothing."""

    def hearing(self, done: int, total: int) -> None:
        """Do nothing."""

    def step(self, loss: float) -> None:
        """Do nothing."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Do nothing."""


class CallbackList:
    """A callback that forwards every call to several callbacks."""

    def __init__(self, *callbacks: Callback) -> None:
        self.callbacks = callbacks

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

    def epoch(self, record: dict[str, Any]) -> None:
        """Forward to every callback."""
        for callback in self.callbacks:
            callback.epoch(record)


class ProgressBar:
    """A callback that draws a progress bar on standard error. Use it as a context manager."""

    def __init__(self) -> None:
        console = Console(file=sys.stderr)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
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
        """Print a line of text above the bar."""
        self.progress.console.print(text, highlight=False, soft_wrap=True, markup=False)

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
        """Print one line for the epoch above the bar."""
        figures = " ".join(f"{name} {value:.3f}" for name, value in record["validation"].items())
        line = f"epoch {record['epoch']}: train loss {record['train']['loss']:.3f}; validation {figures}"
        self.say(f"{line} ({record['seconds']:.1f} s)")


class FileBar:
    """A progress bar on standard error for conversions, over files or over the seconds of one file.

    Use it as a context manager.

    Args:
        total: Number of files, or length of the file in seconds.
        unit: Unit of `total`, for display.
    """

    def __init__(self, total: float, unit: str = "files") -> None:
        console = Console(file=sys.stderr)
        self.progress = Progress(
            TextColumn("converting {task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
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
        self.progress.update(self.task, advance=1, description=name)

    def reach(self, place: float) -> None:
        """Move the bar to `place`, in the unit of the bar."""
        self.progress.update(self.task, completed=place)
