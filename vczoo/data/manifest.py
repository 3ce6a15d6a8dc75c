"""Manifests: .csv and .jsonl lists of recordings, or of parts of recordings, read without opening the audio.

`columns` says which columns a manifest may have. Its paths are relative to the manifest.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from vczoo.data.columns import (
    CHANNELS,
    COLUMNS,
    REQUIRED,
    Split,
    column_of,
    read_annotations,
    read_seconds,
    read_split,
    read_texts,
)
from vczoo.errors import CorpusError, shortened
from vczoo.io.files import open_file
from vczoo.io.names import composed, name_fault
from vczoo.io.text import harmless, truncated_list

__all__ = ["Listed", "Listing", "listed_row", "manifest_text", "scan_manifest"]

LONGEST_LABEL = 200  # characters
LARGEST_MANIFEST = 250_000_000  # bytes; a million rows take 150 MB


@dataclass(frozen=True)
class Listed:
    """A recording, or a part of one, that a folder or manifest lists.

    Attributes:
        path: Absolute path.
        speaker: Name of the speaker, as the folder or manifest spells it.
        rank_by: Name of the recording for ranking; it does not depend on where the corpus is.
        split: Split from a manifest, or None.
        where: The folder, or the manifest and line, that lists the recording; for error messages.
        text: Transcript, or "" if unknown.
        label: Label of the utterance from a manifest, or "".
        start: Where the utterance begins in the file, in seconds.
        end: Where it ends in the file, in seconds; None at the end of the file.
        channel: The channel to read: left, right or mix; "" leaves it to the reader.
        group: Utterances of one group get the same split; "" is no group.
        annotations: Name and value of each other column of the manifest, for heads that read one.
    """

    path: Path
    speaker: str
    rank_by: str
    split: Split | None
    where: str
    text: str = ""
    label: str = ""
    start: float = 0.0
    end: float | None = None
    channel: str = ""
    group: str = ""
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the utterance is the whole recording."""
        return not self.start and self.end is None

    @property
    def key(self) -> tuple[Path, str, float, float | None]:
        """Identity of the samples: file, channel, start and end."""
        return self.path, self.channel, self.start, self.end


@dataclass
class Listing:
    """Everything that folders and manifests list.

    Attributes:
        recordings: The recordings.
        unlisted: Paths in a folder that belong to no speaker or hold no recording, with the reason.
        passed_over: Files in a folder that are not audio, as paths relative to the folder.
        other_columns: The columns of each manifest that only a head may read.
    """

    recordings: list[Listed] = field(default_factory=list)
    unlisted: list[tuple[Path, str]] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    other_columns: dict[Path, list[str]] = field(default_factory=dict)

    def notes(self) -> tuple[str, ...]:
        """Readable lines on what was passed over and not used."""
        notes = []
        if self.passed_over:
            count = len(self.passed_over)
            files = "file" if count == 1 else "files"
            notes.append(f"passed over {count} {files}, not audio that vczoo reads: {_few(self.passed_over)}")
        for manifest, names in self.other_columns.items():
            notes.append(f"other columns of {harmless(manifest.name)}, for heads that name them: {_few(names)}")
        return tuple(notes)


def scan_manifest(manifest: Path, listing: Listing) -> None:
    """Add the rows of a manifest to a listing.

    Raises:
        CorpusError: The manifest cannot be read, or has faults. The message lists them by line.
    """
    faults: list[str] = []
    for line, row in _rows(manifest, listing, faults):
        row_faults: list[str] = []
        texts = read_texts(row, row_faults)
        listed = None if row_faults else listed_row(manifest, line, texts, row_faults)
        faults += [f"line {line}: {fault}" for fault in row_faults]
        if listed and not row_faults:
            listing.recordings.append(replace(listed, annotations=read_annotations(row)))
    if faults:
        count = f"{len(faults)} fault{'s' * (len(faults) > 1)}"
        raise CorpusError("\n  ".join([f"{harmless(manifest)}: {count}; {COLUMNS}", *truncated_list(faults)]))


def listed_row(manifest: Path, line: int, texts: Mapping[str, str], faults: list[str]) -> Listed | None:
    """Check a row, and return the recording that it lists; None if it has no path.

    Args:
        manifest: The manifest; a relative path of a recording is relative to its folder.
        line: Number of the line.
        texts: The row's columns, from `read_texts`.
        faults: Receives the row's faults.
    """
    name, speaker, label, channel = (texts[column] for column in ("path", "speaker", "label", "channel"))
    if not name:
        faults.append("no path")
        return None
    if fault := name_fault(speaker):
        faults.append(f"speaker: {fault}")
    split = read_split(texts["split"], faults)
    start, end = read_seconds(texts["start"], texts["end"], faults)
    if len(label) > LONGEST_LABEL or not label.isprintable():
        shown = shortened(repr(label), 60)
        faults.append(f"label {shown} is not printable text of at most {LONGEST_LABEL} characters")
    if channel and channel.lower() not in CHANNELS:
        faults.append(f"channel is {shortened(channel, 60)!r}, expected {', '.join(CHANNELS)} or nothing")
    path = _place(manifest, name, texts["relative_path"])
    if not os.path.isfile(path):
        faults.append(f"no such file: {harmless(path)}")
    # An absolute path is ranked by its last two parts, which are the same on another machine.
    rank_by = "/".join(PurePath(name).parts[-2:]) if PurePath(name).is_absolute() else name
    return Listed(
        path,
        speaker,
        rank_by,
        split,
        f"{harmless(manifest)} line {line}",
        composed(texts["text"]),
        composed(label),
        start,
        end,
        channel.lower(),
        composed(texts["group"]),
    )


def _place(manifest: Path, name: str, relative: str) -> Path:
    """The absolute path of a row's file. A manifest that was moved together with its files finds them there."""
    path = Path(os.path.abspath(manifest.parent / name))
    moved = Path(os.path.abspath(manifest.parent / relative))
    return moved if relative and not os.path.isfile(path) and os.path.isfile(moved) else path


def _rows(manifest: Path, listing: Listing, faults: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Read the rows with their line numbers; add malformed rows to `faults`, and other columns to `listing`."""
    text = manifest_text(manifest)
    others: dict[str, None] = {}  # a set that keeps the order
    rows = _json_rows(text, faults) if manifest.suffix.lower() == ".jsonl" else _csv_rows(manifest, text, faults)
    for line, row in rows:
        others |= dict.fromkeys(name or "(without a name)" for name in row if not column_of(name))
        yield line, row
    if others:
        listing.other_columns[manifest] = list(others)


def manifest_text(manifest: Path) -> str:
    """Read the text of a manifest.

    Raises:
        CorpusError: It cannot be read, is larger than 250 MB, or is not UTF-8.
    """
    try:
        with open_file(manifest) as file:
            content = file.read(LARGEST_MANIFEST + 1)
        if len(content) > LARGEST_MANIFEST:
            raise CorpusError(
                f"{harmless(manifest)}: more than {LARGEST_MANIFEST / 1e6:.0f} MB; split it into several manifests"
            )
        return content.decode("utf-8-sig")  # spreadsheets put a byte order mark first
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise CorpusError(f"{harmless(manifest)} line {line}: not UTF-8 ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"{harmless(manifest)}: cannot be read ({error.strerror}); give a file") from error


def _json_rows(text: str, faults: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
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


def _csv_rows(manifest: Path, text: str, faults: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        reader.fieldnames = names = [name.strip() for name in reader.fieldnames or ()]
        columns = {column_of(name) for name in names}
        if missing := [name for name in REQUIRED if name not in columns]:
            raise CorpusError(
                f"{harmless(manifest)}: no column {' and '.join(missing)}, got "
                f"{', '.join(map(harmless, names)) or 'nothing'}; {COLUMNS}"
            )
        if twice := sorted({name for name in names if names.count(name) > 1 and column_of(name)}):
            raise CorpusError(
                f"{harmless(manifest)}: two columns are called {' and '.join(twice)}; remove or rename one of them"
            )
        for row in reader:
            if None in row:
                faults.append(f"line {reader.line_num}: more fields than columns; quote text with a comma")
            else:
                yield reader.line_num, row
    except csv.Error as error:
        faults.append(f"line {reader.reader.line_num}: not CSV ({error})")


def _few(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(harmless, names[:most])) + more
