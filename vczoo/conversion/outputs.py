"""Recordings paired with the files to write, and whether these can be written. Imports no torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from vczoo.audio.reader import AUDIO_SUFFIXES
from vczoo.audio.writer import WRITE_SUFFIXES, Depth, SoundWriter
from vczoo.data.folder_walk import recordings_below
from vczoo.errors import AudioError, AudioWarning, VczooError
from vczoo.io.files import file_above
from vczoo.io.text import truncated_list

__all__ = ["pair_files", "pair_folder", "refuse_outputs"]

KEEP = "keep"
MOST_NAMES = 5


def pair_folder(folder: Path, out: Path, suffix: str) -> list[tuple[Path, Path]]:
    """Pair each recording in a folder and its subfolders with the file to write.

    Args:
        folder: As for `convert_folder`.
        out: As for `convert_folder`.
        suffix: As for `convert_folder`.

    Raises:
        AudioError: The folder does not exist, cannot be listed, holds no recording, or is `out`.
        VczooError: `suffix` is not a known format.
    """
    _check_suffix(suffix)
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder; check the path")
    if out.resolve() == folder.resolve():
        raise AudioError(f"{out}: it is the folder of the recordings; choose another folder for the conversions")
    others: list[Path] = []
    sources = recordings_below(folder, others, without=out.resolve())
    if not sources:
        raise AudioError(f"{folder}: no recording below it; {', '.join(AUDIO_SUFFIXES)} were looked for")
    if others:
        names = ", ".join(truncated_list([str(path.relative_to(folder)) for path in sorted(others)], MOST_NAMES))
        count = f"{len(others)} file{'s' * (len(others) > 1)}"
        reason = f"passed over {count} without the suffix of a sound: {names}"
        warnings.warn(f"{folder}: {reason}", AudioWarning, stacklevel=3)
    targets = [out / path.relative_to(folder) for path in sources]
    return [(source, _with_suffix(target, suffix)) for source, target in zip(sources, targets, strict=True)]


def pair_files(sources: Sequence[Path], out: Path, suffix: str) -> list[tuple[Path, Path]]:
    """Pair recordings with the files of their names to write in one folder.

    Args:
        sources: The recordings, in any folders.
        out: The folder to write.
        suffix: As for `convert_folder`.

    Raises:
        VczooError: `suffix` is not a known format.
    """
    _check_suffix(suffix)
    return [(source, _with_suffix(out / source.name, suffix)) for source in sources]


def _check_suffix(suffix: str) -> None:
    if suffix != KEEP and suffix not in WRITE_SUFFIXES:
        raise VczooError(f"suffix is one of {', '.join(WRITE_SUFFIXES)}, or {KEEP}; got {suffix!r}")


def _with_suffix(path: Path, suffix: str) -> Path:
    if suffix == KEEP:
        suffix = path.suffix if path.suffix.lower() in WRITE_SUFFIXES else ".wav"
    return path.with_suffix(suffix)


def refuse_outputs(pairs: Sequence[tuple[Path, Path]], overwrite: bool, depth: Depth = "16") -> None:
    """Raise AudioError, before any work, if the outputs cannot all be written.

    Args:
        pairs: Each recording, with the file to write.
        overwrite: Whether to replace existing files.
        depth: Bits of a sample, as for `Converter.convert_file`.

    Raises:
        AudioError: An output exists, a file is in the place of its folder, its suffix is not a known format or
            has no such samples, or two recordings would become one file.
    """
    if above := sorted({file for _, target in pairs if (file := file_above(target))}):
        paths = "\n  ".join(truncated_list(list(map(str, above))))
        raise AudioError(f"a file is in the place of an output folder; move it, or choose another folder:\n  {paths}")
    _refuse_taken(pairs, overwrite)
    for _, target in pairs:
        SoundWriter(target, 1, overwrite=True, depth=depth)


def _refuse_taken(pairs: Iterable[tuple[Path, Path]], overwrite: bool) -> None:
    """Raise AudioError, before any work, for all outputs that exist and recordings that would become one file."""
    lines: list[str] = []
    sources: dict[str, Path] = {}
    for source, target in pairs:
        # Some file systems ignore case.
        other = sources.setdefault(str(target).casefold(), source)
        if other != source:
            lines.append(f"{target}: both {other} and {source} would become it; keep their suffixes, or rename one")
        elif target.exists() and not overwrite:
            lines.append(f"{target} exists")
    if lines:
        count = f"{len(lines)} file{'s' * (len(lines) > 1)}"
        raise AudioError(
            "\n  ".join([f"{count} cannot be written; choose another folder, or overwrite:", *truncated_list(lines)])
        )
