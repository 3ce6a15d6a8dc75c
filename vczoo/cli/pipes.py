"""Standard input and output as recordings: `vczoo convert base - < in.wav > out.wav`. Imports no torch.

Sound files are not written from beginning to end, so both go through a temporary file.
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vczoo.errors import VczooError
from vczoo.io.temporary import temporary_folder

__all__ = ["piped"]

STREAM = "-"
KEEP = "keep"


@contextmanager
def piped(sources: Sequence[str], out: str, suffix: str) -> Iterator[tuple[list[str], str]]:
    """Context manager that replaces `-` by temporary files, and writes to standard output what was written to one.

    Args:
        sources: The recordings; `-` is standard input.
        out: The file to write; `-`, or "" with a source `-`, is standard output.
        suffix: Suffix of the format for standard output.

    Yields:
        The sources and `out`, without `-`.

    Raises:
        VczooError: There are several recordings, or standard input or output is a terminal.
        AudioError: Standard input holds no recording.
    """
    reads, writes = STREAM in sources, out == STREAM or (not out and list(sources) == [STREAM])
    if not reads and not writes:
        yield list(sources), out
        return
    if len(sources) > 1 or os.path.isdir(sources[0]) or (glob.has_magic(sources[0]) and not os.path.exists(sources[0])):
        raise VczooError("- stands for one recording; convert several recordings, or a folder, to files")
    if writes and sys.stdout.isatty():
        raise VczooError("standard output is a terminal, to which no sound is written; add `> out.wav`, or use --out")
    with temporary_folder("pipe") as folder:
        given, made = folder / "standard-input", folder / f"standard-output{'.wav' if suffix == KEEP else suffix}"
        if reads:
            _copy_input(given)
        try:
            yield [str(given) if reads else sources[0]], str(made) if writes else out
        except VczooError as error:
            error.args = (str(error).replace(str(given), "standard input").replace(str(made), "standard output"),)
            raise
        if writes:
            with made.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _copy_input(file: Path) -> None:
    if sys.stdin is None or sys.stdin.isatty():
        raise VczooError("- reads a recording from standard input, which is a terminal; add `< recording.wav`")
    with file.open("wb") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
