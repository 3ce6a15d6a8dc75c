"""Listing the recordings of folders, manifests and single files, without opening the audio.

A folder is `<folder>/<speaker>/**` with the recordings. A .txt file with the name of a recording, next to it, holds its
transcript. `manifest` describes manifests.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from vczoo.audio.waveform import AUDIO_SUFFIXES
from vczoo.data.manifest import Listed, Listing, scan_manifest
from vczoo.errors import AudioError, CorpusError
from vczoo.io.names import composed, name_fault

__all__ = ["LAYOUT", "expand_recordings", "list_recordings"]

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
        CorpusError: There is no such path, the manifest has faults (the message lists them by line), or a single file
            has no speaker.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        listing.recordings += _scan_folder(path, listing, speaker)
    elif not path.exists():
        raise CorpusError(f"{path}: no such folder, manifest or recording; check the path")
    elif suffix in MANIFEST_SUFFIXES:
        scan_manifest(path, listing)
    elif suffix not in AUDIO_SUFFIXES:
        raise CorpusError(f"{path}: a folder, a .csv or a .jsonl manifest, or a recording was expected; {LAYOUT}")
    elif speaker:
        listing.recordings.append(Listed(path, speaker, path.name, None, str(path), _text_beside(path)))
    else:
        raise CorpusError(f"{path}: whose recording is this? Name its speaker with --voice (speaker= in Python)")


def expand_recordings(recordings: Iterable[str | os.PathLike[str]], passed_over: list[str]) -> list[Path]:
    """The recordings that files, folders and wildcards name: all of a folder and its subfolders, sorted.

    Args:
        recordings: Paths. A path that does not exist may have wildcards, since not every shell expands them.
        passed_over: Receives the files of folders that are not audio.

    Raises:
        AudioError: A folder holds no recording, or nothing matches a wildcard. A missing file is left for the reader
            to report.
    """
    paths: list[Path] = []
    for recording in recordings:
        path = Path(recording)
        if path.is_dir():
            others: list[Path] = []
            inside = sorted(_recordings(path, others))
            if not inside:
                raise AudioError(
                    f"{path}: the folder holds no recording; expected files that end in {', '.join(AUDIO_SUFFIXES)}"
                )
            paths += inside
            passed_over += [str(other) for other in _without_transcripts(others, inside)]
        elif not path.exists() and glob.has_magic(str(path)):
            matches = sorted(glob.glob(str(path), recursive=True))
            if not matches:
                raise AudioError(f"{path}: no file matches; check the path")
            paths += expand_recordings(matches, passed_over)
        else:
            paths.append(path)
    return list(dict.fromkeys(paths))


def _scan_folder(folder: Path, listing: Listing, speaker: str) -> Iterator[Listed]:
    """List `<folder>/<speaker>/**`; skip hidden files, and pass over files that are not audio."""
    others: list[Path] = []
    every: list[Path] = []
    for entry in sorted(_visible(folder)):
        if not entry.is_dir():
            if entry.suffix.lower() not in AUDIO_SUFFIXES:
                others.append(entry)
            elif speaker:
                every.append(entry)
                yield Listed(entry, speaker, entry.name, None, str(folder), _text_beside(entry))
            else:
                listing.unlisted.append((entry, f"it belongs to no speaker; {LAYOUT}"))
            continue
        recordings = sorted(_recordings(entry, others))
        every += recordings
        if not recordings:
            listing.unlisted.append((entry, f"it holds no recording; {LAYOUT}"))
        elif fault := name_fault(entry.name):
            raise CorpusError(f"{entry}: {fault}; rename the folder")
        for path in recordings:
            yield Listed(path, entry.name, path.relative_to(entry).as_posix(), None, str(folder), _text_beside(path))
    passed_over = sorted(_without_transcripts(others, every))
    listing.passed_over += [path.relative_to(folder).as_posix() for path in passed_over]


def _visible(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise CorpusError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error


def _recordings(folder: Path, others: list[Path]) -> Iterator[Path]:
    """Yield the recordings in a folder and its subfolders; add the files that are not audio to `others`."""
    for entry in _visible(folder):
        if entry.is_dir() and not entry.is_symlink():  # a link inside could lead back up
            yield from _recordings(entry, others)
        elif entry.suffix.lower() in AUDIO_SUFFIXES:
            yield entry
        elif entry.is_file():
            others.append(entry)


def _without_transcripts(files: Iterable[Path], recordings: Iterable[Path]) -> list[Path]:
    transcripts = {recording.with_suffix(suffix) for recording in recordings for suffix in TEXT_SUFFIXES}
    return [file for file in files if file not in transcripts]


def _text_beside(recording: Path) -> str:
    """Read the transcript next to a recording; "" if there is none.

    Bytes that are not UTF-8 become U+FFFD, which no alphabet has, so only a task that needs the text reports an error.
    """
    for suffix in TEXT_SUFFIXES:
        try:
            with recording.with_suffix(suffix).open(encoding="utf-8-sig", errors="replace") as file:
                return composed(file.read(LONGEST_TEXT))
        except OSError:  # missing or unreadable
            continue
    return ""
