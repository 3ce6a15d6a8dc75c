"""Recordings below a folder, found by their suffix. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from vczoo.audio.reader import AUDIO_SUFFIXES
from vczoo.errors import AudioError
from vczoo.io.text import harmless

__all__ = ["is_recording", "recordings_below", "visible"]

DEEPEST = 100  # folders inside each other


def recordings_below(folder: Path, others: list[Path], without: Path | None = None) -> list[Path]:
    """The recordings in a folder and its subfolders, sorted.

    Hidden files are left out. Links to folders are not followed, since one could lead back up.

    Args:
        folder: The folder.
        others: Receives the files that are not audio.
        without: A folder inside that is left out, such as that of the output; absolute and without links.

    Raises:
        AudioError: A folder cannot be listed, or folders are nested more than 100 deep.
    """
    recordings: list[Path] = []
    waiting = [(folder, 0)]  # a list instead of recursion, whose depth a stranger's archive would decide
    while waiting:
        place, depth = waiting.pop()
        if depth > DEEPEST:
            raise AudioError(
                f"{harmless(folder)}: its folders are nested more than {DEEPEST} deep; move the recordings up"
            )
        for entry in visible(place):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                if without is None or path.resolve() != without:
                    waiting.append((path, depth + 1))
            elif is_recording(path):
                recordings.append(path)
            elif entry.is_file(follow_symlinks=False) or path.is_file():
                others.append(path)
    return sorted(recordings)


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder that are not hidden, sorted by name.

    Raises:
        AudioError: The folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        raise AudioError(f"{harmless(folder)}: cannot be listed ({error.strerror}); check its permissions") from error


def is_recording(path: Path) -> bool:
    """Whether a path has the suffix of a sound file."""
    return path.suffix.lower() in AUDIO_SUFFIXES
