"""Console for progress: standard error, or the output of a notebook's cell."""

from __future__ import annotations

import sys

from rich.console import Console

__all__ = ["progress_console"]


def progress_console() -> Console:
    """A console on standard error; in a notebook, plain lines on standard output.

    There rich would make a block of HTML of every line and, for a bar, ask for ipywidgets; and notebooks print standard
    error on red.
    """
    if "ipykernel" in sys.modules:
        return Console(file=sys.stdout, force_jupyter=False)
    return Console(file=sys.stderr)
