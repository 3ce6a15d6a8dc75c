"""Listing the recordings of folders, manifests, wildcards and single files, without opening the audio.

A folder is `<folder>/<speaker>/**` with the recordings. A .txt file with the name of a recording, next to it, holds its
transcript. `manifest` describes manifests.
"""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from vczoo.audio.reader import AUDIO_SUFFIXES
from vczoo.data.folder_walk import is_recording, recordings_below, visible
from vczoo.data.manifest import Listed, Listing, scan_manifest
from vczoo.errors import AudioError, CorpusError
from vczoo.io.files import open_file
from vczoo.io.names import composed, name_fault
from vczoo.io.text import harmless

__all__ = ["LAYOUT", "expand_recordings", "list_recordings", "match_wildcard"]

LAYOUT = "recordings belong in <folder>/<speaker>/, as .wav, .flac, .mp3, .m4a or another format of sound"
MANIFEST_SUFFIXES = (".csv", ".jsonl")
TEXT_SUFFIXES = (".normalized.txt", ".txt")  # of transcripts next to recordings; the first is LibriTTS's
LONGEST_TEXT = 10_000  # characters read from a transcript; half a minute of speech has about 500


def list_recordings(path: Path, listing: Listing, speaker: str = "") -> None:
    """Add the recordings of a folder, a manifest or a single file to a listing.

    Args:
        path: A folder, a .csv or .jsonl manifest, or a recording.
        listing: Receives the recordings, and what was passed over.
        speaker: Whose recordings those are that belong to no speaker's folder: a single file, and the files directly
            in a folder. "" if there should be none.

    Raises:
        CorpusError: There is no such path, a folder cannot be listed, the manifest has faults (the message lists them
            by line), or a single file has no speaker.
    """
    suffix = path.suffix.lower()
    if os.path.isdir(path):
        try:
            listing.recordings += _scan_folder(path, listing, speaker)
        except AudioError as error:
            raise CorpusError(str(error)) from error
    elif not os.path.exists(path):
        raise CorpusError(f"{harmless(path)}: no such folder, manifest or recording; check the path")
    elif suffix in MANIFEST_SUFFIXES:
        scan_manifest(path, listing)
    elif suffix not in AUDIO_SUFFIXES:
        raise CorpusError(
            f"{harmless(path)}: a folder, a .csv or a .jsonl manifest, or a recording was expected; {LAYOUT}"
        )
    elif speaker:
        listing.recordings.append(Listed(path, speaker, path.name, None, harmless(path), _text_beside(path)))
    else:
        raise CorpusError(
            f"{harmless(path)}: whose recording is this? Name its speaker with --voice (speaker= in Python)"
        )


def expand_recordings(recordings: Iterable[str | os.PathLike[str]], passed_over: list[str]) -> list[Path]:
    """The recordings that files, folders and wildcards name: all of a folder and its subfolders, sorted.

    Args:
        recordings: Paths. A path that does not exist may have wildcards, since not every shell expands them.
        passed_over: Receives the files of folders that are not audio.

    Raises:
        AudioError: A folder holds no recording or cannot be listed, or no recording matches a wildcard. A missing file
            is left for the reader to report.
    """
    paths: list[Path] = []
    for recording in recordings:
        path = Path(recording)
        if os.path.isdir(path):
            others: list[Path] = []
            inside = recordings_below(path, others)
            if not inside:
                suffixes = ", ".join(AUDIO_SUFFIXES)
                raise AudioError(
                    f"{harmless(path)}: no recording is in this folder; expected files that end in {suffixes}"
                )
            paths += inside
            passed_over += [str(other) for other in _without_transcripts(others, inside)]
        elif not os.path.exists(path) and glob.has_magic(str(path)):
            paths += match_wildcard(str(path))
        else:
            paths.append(path)
    return list(dict.fromkeys(paths))


def match_wildcard(pattern: str) -> list[Path]:
    """The recordings that match a wildcard, and all below the folders that do, sorted.

    Args:
        pattern: A path, in which *, ** and ? may stand for parts of names.

    Raises:
        AudioError: There is none, or a folder cannot be listed.
    """
    try:
        matches = sorted(glob.glob(pattern, recursive=True))
    except RecursionError as error:  # glob follows ** by recursion
        raise AudioError(
            f"{harmless(pattern)}: the folders are nested too deep; name the one with the recordings"
        ) from error
    paths: list[Path] = []
    for match in matches:
        path = Path(match)
        if os.path.isdir(path):
            paths += recordings_below(path, [])
        elif is_recording(path):
            paths.append(path)
    if not paths:
        raise AudioError(f"{harmless(pattern)}: no sound file matches; {', '.join(AUDIO_SUFFIXES)} were looked for")
    return list(dict.fromkeys(paths))


def _scan_folder(folder: Path, listing: Listing, speaker: str) -> Iterator[Listed]:
    """List `<folder>/<speaker>/**`; skip hidden files, and pass over files that are not audio."""
    others: list[Path] = []
    every: list[Path] = []
    for entry in (Path(item.path) for item in visible(folder)):
        if not os.path.isdir(entry):
            if entry.suffix.lower() not in AUDIO_SUFFIXES:
                others.append(entry)
            elif speaker:
                every.append(entry)
                yield Listed(entry, speaker, entry.name, None, harmless(folder), _text_beside(entry))
            else:
                listing.unlisted.append((entry, f"it belongs to no speaker; {LAYOUT}"))
            continue
        recordings = recordings_below(entry, others)
        every += recordings
        if not recordings:
            listing.unlisted.append((entry, f"it holds no recording; {LAYOUT}"))
        elif fault := name_fault(entry.name):
            raise CorpusError(f"{harmless(entry)}: {fault}; rename the folder")
        for path in recordings:
            yield Listed(
                path, entry.name, path.relative_to(entry).as_posix(), None, harmless(folder), _text_beside(path)
            )
    passed_over = sorted(_without_transcripts(others, every))
    listing.passed_over += [path.relative_to(folder).as_posix() for path in passed_over]


def _without_transcripts(files: Iterable[Path], recordings: Iterable[Path]) -> list[Path]:
    transcripts = {recording.with_suffix(suffix) for recording in recordings for suffix in TEXT_SUFFIXES}
    return [file for file in files if file not in transcripts]


def _text_beside(recording: Path) -> str:
    """Read the transcript next to a recording; "" if there is none.

    Bytes that are not UTF-8 become U+FFFD, which no alphabet has, so only a task that needs the text reports an error.
    """
    for suffix in TEXT_SUFFIXES:
        try:
            file = open_file(recording.with_suffix(suffix))
            with io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace") as text:
                return composed(text.read(LONGEST_TEXT))
        except OSError:  # missing, unreadable, or a pipe
            continue
    return ""
