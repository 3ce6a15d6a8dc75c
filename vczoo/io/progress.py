"""What a person sees while training: a progress bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["Callback", "CallbackList", "FileBar", "NullProgress", "ProgressBar"]


class Callback(Protocol):
    """Hears how training goes: a progress bar, say."""

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Training starts: at most `epochs` of `steps` steps each, `done` steps of which lie behind."""

    def hearing(self, done: int, total: int) -> None:
        """The frozen stages have run over so many recordings of those that they have not heard before."""

    def step(self, loss: float) -> None:
        """A step is done."""

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch is done; the record is a line of metrics.jsonl."""


class NullProgress:
    """A watcher that shows nothing. Use it as a context."""

    def __enter__(self) -> NullProgress:
        return self

    def __exit__(self, *_: object) -> None: ...

    def say(self, text: str) -> None:
        """Nothing."""

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Nothing."""

    def hearing(self, done: int, total: int) -> None:
        """Nothing."""

    def step(self, loss: float) -> None:
        """Nothing."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Nothing."""


class CallbackList:
    """A watcher that tells several others what it hears."""

    def __init__(self, *watchers: Callback) -> None:
        self.watchers = watchers

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Tell them."""
        for watcher in self.watchers:
            watcher.begin(epochs, steps, done)

    def hearing(self, done: int, total: int) -> None:
        """Tell them."""
        for watcher in self.watchers:
            watcher.hearing(done, total)

    def step(self, loss: float) -> None:
        """Tell them."""
        for watcher in self.watchers:
            watcher.step(loss)

    def epoch(self, record: dict[str, Any]) -> None:
        """Tell them."""
        for watcher in self.watchers:
            watcher.epoch(record)


class ProgressBar:
    """A watcher that draws on standard error. Use it as a context."""

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
        self.heard = self.progress.add_task("frozen stages", total=None, visible=False, unit="recordings")

    def __enter__(self) -> ProgressBar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        """Print something above the bar."""
        self.progress.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Show how many steps there are."""
        self.progress.update(self.task, total=epochs * steps, completed=done)

    def hearing(self, done: int, total: int) -> None:
        """Show how many recordings the frozen stages have run over."""
        self.progress.update(self.heard, total=total, completed=done, visible=done < total)

    def step(self, loss: float) -> None:
        """Move on by one."""
        self.progress.update(self.task, advance=1, description=f"fine-tuning, loss {loss:.3f}")

    def epoch(self, record: dict[str, Any]) -> None:
        """Print the epoch's line above the bar."""
        figures = " ".join(f"{name} {value:.3f}" for name, value in record["validation"].items())
        line = f"epoch {record['epoch']}: train loss {record['train']['loss']:.3f}; validation {figures}"
        self.say(f"{line} ({record['seconds']:.1f} s)")


class FileBar:
    """A bar over so many files, or over seconds of one, drawn on standard error. Use it as a context."""

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
        """Move on by one file."""
        self.progress.update(self.task, advance=1, description=name)

    def reach(self, place: float) -> None:
        """Show how far it is."""
        self.progress.update(self.task, completed=place)
