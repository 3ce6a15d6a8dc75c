"""Training loss of each step of a fine-tune, which its process writes and the page reads before the epoch is over."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from vczoo.io.progress import Callback

__all__ = ["StepLosses", "read_losses", "thinned"]


class StepLosses(Callback):
    """A callback that writes a line for each step: how many epochs are done by then, a fraction, and the loss.

    Args:
        path: The file. A resumed training keeps the lines of the steps that are done.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.steps, self.done = 1, 0
        self._file: TextIO | None = None

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Open the file, without the lines of steps that will be done again."""
        self.steps, self.done = steps, done
        kept = [(epoch, loss) for epoch, loss in read_losses(self.path) if epoch <= done / steps + 1e-6]
        self._file = self.path.open("w", encoding="utf-8")
        self._file.writelines(_line(epoch, loss) for epoch, loss in kept)

    def step(self, loss: float) -> None:
        """Write the loss of a step."""
        assert self._file is not None
        self.done += 1
        self._file.write(_line(self.done / self.steps, loss))
        self._file.flush()

    def end(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_losses(path: Path) -> list[tuple[float, float]]:
    """The steps in a file: epochs done, a fraction, and the loss. Empty if there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # the last one may be half written
    except FileNotFoundError:
        return []
    return [(float(epoch), float(loss)) for epoch, loss in (line.split() for line in lines)]


def thinned(losses: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most `most` points, each the mean of as many steps: a curve that is fast to draw, and smoother."""
    size = -(-len(losses) // most) or 1
    groups = [losses[start : start + size] for start in range(0, len(losses), size)]
    return [(group[-1][0], sum(loss for _, loss in group) / len(group)) for group in groups]


def _line(epoch: float, loss: float) -> str:
    return f"{epoch:.6f} {loss:.6g}\n"
