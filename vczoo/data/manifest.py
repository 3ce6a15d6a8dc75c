"""Listing the recordings of a folder or manifest, without opening the audio.

A folder is `<folder>/<speaker>/**/*.wav`, or another suffix of `AUDIO_SUFFIXES`. A .txt file with the name of a
recording, next to it, holds its transcript. A manifest is a .csv or .jsonl file with the columns path, speaker and,
optionally, split, text and label; its paths are relative to the manifest.
"""

from __future__ import annotations

import csv
import io
import json
import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal, get_args

from vczoo.audio.waveform import AUDIO_SUFFIXES
from vczoo.errors import CorpusError, shortened
from vczoo.io.text import truncated_list

__all__ = ["LAYOUT", "SPLITS", "Listed", "Split", "composed", "list_recordings"]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
LAYOUT = "recordings belong in <folder>/<speaker>/, as .wav, .flac, .mp3, .m4a or another format of sound"
COLUMNS = "a manifest has the columns path, speaker and, optionally, split, text and label, separated by commas"
TEXT_SUFFIXES = (".normalized.txt", ".txt")  # of transcripts next to recordings; the first is LibriTTS's
LONGEST_TEXT = 10_000  # characters read from a transcript; half a minute of speech has about 500
LONGEST_LABEL = 200  # characters


@dataclass(frozen=True)
class Listed:
    """A recording that a folder or manifest lists.

    Attributes:
        path: Absolute path.
        speaker: Name of the speaker, as the folder or manifest spells it.
        rank_by: Name of the recording for ranking; it does not depend on where the corpus is.
        split: Split from a manifest, or None.
        where: The folder, or the manifest and line, that lists the recording; for error messages.
        text: Transcript, or "" if unknown.
        label: Label of the utterance from a manifest, or "".
    """

    path: Path
    speaker: str
    rank_by: str
    split: Split | None
    where: str
    text: str = ""
    label: str = ""


def list_recordings(path: Path, unlisted: list[tuple[Path, str]]) -> list[Listed]:
    """List the recordings of a folder or manifest.

    Args:
        path: A folder, or a .csv or .jsonl manifest.
        unlisted: Receives each path in a folder that belongs to no speaker or holds no recording, with the reason.

    Raises:
        CorpusError: There is no such folder or manifest, or the manifest has faults. The message lists them by line.
    """
    if path.is_dir():
        return list(_scan_folder(path, unlisted))
    if not path.exists():
        raise CorpusError(f"{path}: no such folder or manifest; check the path")
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise CorpusError(f"{path}: a folder, a .csv or a .jsonl manifest was expected; {LAYOUT}")
    return _scan_manifest(path)


def _scan_folder(folder: Path, unlisted: list[tuple[Path, str]]) -> Iterator[Listed]:
    """List `<folder>/<speaker>/**`; skip hidden files and files that are not audio."""
    for entry in sorted(_visible(folder)):
        if not entry.is_dir():
            if entry.suffix.lower() in AUDIO_SUFFIXES:
                unlisted.append((entry, f"it belongs to no speaker; {LAYOUT}"))
            continue
        recordings = sorted(_recordings(entry))
        if not recordings:
            unlisted.append((entry, f"it holds no recording; {LAYOUT}"))
        elif fault := _name_fault(entry.name):
            raise CorpusError(f"{entry}: {fault}; rename the folder")
        for path in recordings:
            yield Listed(path, entry.name, path.relative_to(entry).as_posix(), None, str(folder), _text_beside(path))


def _visible(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise CorpusError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error


def _recordings(folder: Path) -> Iterator[Path]:
    for entry in _visible(folder):
        if entry.is_dir() and not entry.is_symlink():  # a link inside could lead back up
            yield from _recordings(entry)
        elif entry.suffix.lower() in AUDIO_SUFFIXES:
            yield entry


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


def _scan_manifest(manifest: Path) -> list[Listed]:
    listed: list[Listed] = []
    faults: list[str] = []
    for line, row in _rows(manifest, faults):
        texts = {name: row.get(name) for name in ("path", "speaker", "split", "text", "label")}
        wrong = [name for name, text in texts.items() if not isinstance(text, str | None)]
        if wrong:
            faults.append(f"line {line}: {' and '.join(wrong)} must be text, got {row[wrong[0]]!r}")
            continue
        name, speaker, split, said, label = (str(text or "").strip() for text in texts.values())
        path = Path(os.path.abspath(manifest.parent / name))
        if not name:
            faults.append(f"line {line}: no path")
        elif fault := _name_fault(speaker):
            faults.append(f"line {line}: {fault}")
        elif split and split not in SPLITS:
            faults.append(f"line {line}: split is {split!r}, expected {', '.join(SPLITS)} or nothing")
        elif len(label) > LONGEST_LABEL or not label.isprintable():
            shown = shortened(repr(label), 60)
            faults.append(f"line {line}: label {shown} is not printable text of at most {LONGEST_LABEL} characters")
        elif not path.is_file():
            faults.append(f"line {line}: no such file: {path}")
        else:
            # An absolute path is ranked by its last two parts, which are the same on another machine.
            rank_by = "/".join(PurePath(name).parts[-2:]) if PurePath(name).is_absolute() else name
            chosen = next((name for name in SPLITS if name == split), None)
            where = f"{manifest} line {line}"
            listed.append(Listed(path, speaker, rank_by, chosen, where, composed(said), composed(label)))
    if faults:
        raise CorpusError(
            "\n  ".join(
                [f"{manifest}: {len(faults)} fault{'s' * (len(faults) > 1)}; {COLUMNS}", *truncated_list(faults)]
            )
        )
    return listed


def _rows(manifest: Path, faults: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Read the rows of a manifest with their line numbers; add malformed rows to `faults`."""
    try:
        text = manifest.read_bytes().decode("utf-8-sig")  # spreadsheets put a byte order mark first
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise CorpusError(f"{manifest} line {line}: not UTF-8 ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"{manifest}: cannot be read ({error.strerror})") from error
    if manifest.suffix.lower() == ".jsonl":
        for line, content in enumerate(text.split("\n"), start=1):  # JSON strings may hold U+2028
            try:
                row = json.loads(content) if content.strip() else None
            except (ValueError, RecursionError) as error:
                faults.append(f"line {line}: not JSON ({error})")
                continue
            if isinstance(row, dict):
                yield line, row
            elif content.strip():
                faults.append(f'line {line}: expected {{"path": …, "speaker": …}}, got {content.strip()[:40]}')
        return
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        if missing := [name for name in ("path", "speaker") if name not in reader.fieldnames]:
            columns = ", ".join(reader.fieldnames) or "nothing"
            raise CorpusError(f"{manifest}: no column {' and '.join(missing)}, got {columns}; {COLUMNS}")
        for row in reader:
            if None in row:
                faults.append(f"line {reader.line_num}: more fields than columns; quote text with a comma")
            else:
                yield reader.line_num, row
    except csv.Error as error:
        faults.append(f"line {reader.reader.line_num}: not CSV ({error})")


def _name_fault(speaker: str) -> str:
    """The fault of a speaker's name, or "". Names of speakers become names of voices and files."""
    if not speaker.strip():
        return "no speaker"
    if any(char in "/\\" or unicodedata.category(char) in ("Cc", "Cs") for char in speaker):
        return f"speaker {speaker!r} holds a slash, a control character or a byte that is not UTF-8"
    return f"{speaker!r} cannot be a speaker's name" if speaker.strip() in (".", "..") else ""


def composed(text: str) -> str:
    """Normalize a name to Unicode's composed form (NFC): macOS decomposes file names, people type them composed."""
    return unicodedata.normalize("NFC", text).strip()
