"""Trial lists: which recording to convert into which voice, read from a .csv file and checked.

A trial list has a header and the columns

source           path of the recording to convert
source_speaker   name of its speaker
voice            name of the voice to convert it into
text             transcript of the recording; optional
parallel         path of a recording of the target saying the same sentence; optional

All faults of a list are reported together.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vczoo.errors import CorpusError
from vczoo.evaluation.references import References
from vczoo.io.files import open_file, sha256_of
from vczoo.io.names import composed, file_stem, name_fault
from vczoo.io.text import bulleted, counted, nearest

__all__ = ["Trial", "read_trials"]

REQUIRED = ("source", "source_speaker", "voice")
COLUMNS = (*REQUIRED, "text", "parallel")
SHOWN = 25  # most faults that an error message lists; the rest are only counted


@dataclass(frozen=True)
class Trial:
    """One conversion to make: a recording and a target voice.

    Attributes:
        source: Absolute path of the recording to convert.
        source_speaker: Name of the speaker of the recording.
        voice: Name of the voice to convert it into.
        text: Transcript of the recording; empty if it is unknown.
        parallel: Absolute path of a recording of the target saying the same sentence; None if there is none.
    """

    source: Path
    source_speaker: str
    voice: str
    text: str = ""
    parallel: Path | None = None

    @property
    def name(self) -> str:
        """Name of the trial, safe as the name of a file: `<speaker>-<recording>-as-<voice>`."""
        return file_stem(f"{self.source_speaker}-{self.source.stem}-as-{self.voice}")


def read_trials(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    references: References | None = None,
    shown: References | None = None,
    voices: Collection[str] | None = None,
) -> tuple[Trial, ...]:
    """Read a trial list and check all of it.

    Args:
        path: Path of the .csv file.
        root: Folder that the paths in it are relative to; None for the folder of the file.
        references: Real speech of the voices; every voice needs some. A source that is in a matching set is an error,
            because a system scores too well on recordings that it was trained on. Copies under other names are
            detected, too.
        shown: Further recordings that the system was trained on.
        voices: Names of the voices that the system has; None if it accepts any.

    Returns:
        The trials, in the order of the list.

    Raises:
        CorpusError: The list has faults: missing columns or files, duplicate pairs, unknown voices, voices without
            references, or sources and parallel recordings that the system was trained on. The message lists all of
            them with line numbers.
    """
    path = Path(os.path.abspath(path))
    folder = Path(os.path.abspath(root)) if root is not None else path.parent
    faults: list[str] = []
    trials: list[tuple[int, Trial]] = []
    for line, row in _rows(path, faults):
        trial, row_faults = _trial(row, folder)
        faults += [f"line {line}: {fault}" for fault in row_faults]
        if trial:
            trials.append((line, trial))
    faults += _duplicates(trials)
    if voices is not None:
        faults += _unknown(trials, voices)
    if references is not None:
        faults += _without_references(trials, references, voices)
        faults += _seen_in_training(trials, [references, *([shown] if shown else [])])
    if not trials and not faults:
        faults.append("no trials: the file is empty or has only a header")
    if faults:
        raise CorpusError(bulleted(f"trial list {path} has {counted(len(faults), 'fault')}", faults, SHOWN))
    return tuple(trial for _, trial in trials)


def _rows(path: Path, faults: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with open_file(path) as file:  # not a pipe, which would never end
            text = file.read().decode("utf-8-sig")  # spreadsheets write a byte order mark first
    except UnicodeDecodeError as error:
        raise CorpusError(f"trial list {path}: not UTF-8 ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"trial list {path}: cannot be read ({error.strerror}); check the path") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        reader.fieldnames = names = [name.strip() for name in reader.fieldnames or ()]
        missing = [name for name in REQUIRED if name not in names]
        unknown = [f"{name!r}{nearest(name, COLUMNS)}" for name in names if name not in COLUMNS]
        if missing:
            faults.append(f"no column {', '.join(missing)}; the header is: {', '.join(names) or '(empty)'}")
        if unknown:
            faults.append(f"no such column: {' '.join(unknown)} Columns: {', '.join(COLUMNS)}")
        for row in reader:
            if None in row:
                faults.append(f"line {reader.line_num}: more fields than columns; quote text that contains a comma")
            elif not missing:
                yield reader.line_num, {name: (value or "").strip() for name, value in row.items()}
    except csv.Error as error:
        faults.append(f"line {reader.reader.line_num}: not CSV ({error})")


def _trial(row: dict[str, str], folder: Path) -> tuple[Trial | None, list[str]]:
    faults = [f"no {name}" for name in REQUIRED if not row[name]]
    paths = {name: Path(os.path.abspath(folder / row[name])) for name in ("source", "parallel") if row.get(name)}
    faults += [
        f"{name}: no such file: {file}; check the path, or give the folder that it is relative to as root"
        for name, file in paths.items()
        if not file.is_file()
    ]
    names = {column: row[column] for column in ("source_speaker", "voice") if row[column]}
    faults += [f"{column}: {fault}" for column, name in names.items() if (fault := name_fault(name))]
    if faults:
        return None, faults
    speaker, voice = composed(row["source_speaker"]), composed(row["voice"])
    return Trial(paths["source"], speaker, voice, row.get("text", ""), paths.get("parallel")), []


def _duplicates(trials: Sequence[tuple[int, Trial]]) -> list[str]:
    first_line: dict[tuple[Path, str], int] = {}
    faults = []
    for line, trial in trials:
        first = first_line.setdefault((trial.source.resolve(), trial.voice), line)
        if first != line:
            faults.append(
                f"line {line}: {trial.source.name} into {trial.voice!r} is already in line {first} and would count "
                "twice; remove one"
            )
    return faults


def _unknown(trials: Sequence[tuple[int, Trial]], voices: Collection[str]) -> list[str]:
    line_of_voice: dict[str, int] = {}
    for line, trial in trials:
        line_of_voice.setdefault(trial.voice, line)
    return [
        f"line {line}: no voice is called {voice!r}{nearest(voice, voices)} Voices: {', '.join(list(voices)[:12])}"
        for voice, line in line_of_voice.items()
        if voice not in voices
    ]


def _without_references(
    trials: Sequence[tuple[int, Trial]], references: References, voices: Collection[str] | None
) -> list[str]:
    line_of_voice: dict[str, int] = {}
    for line, trial in trials:
        if voices is None or trial.voice in voices:
            line_of_voice.setdefault(trial.voice, line)
    return [
        f"line {line}: no real recording of {voice!r} to compare with{nearest(voice, references.matching)} Add some "
        "to the references (a manifest or a folder SPEAKER/*.wav)"
        for voice, line in line_of_voice.items()
        if not references.matching.get(voice)
    ]


def _seen_in_training(trials: Sequence[tuple[int, Trial]], shown: Sequence[References]) -> list[str]:
    """Faults of trials whose recordings, by path or by content, are in a matching or training set."""
    speaker_of = {
        file.resolve(): speaker
        for references in shown
        for recordings in (references.matching, references.cut_from)
        for speaker, files in recordings.items()
        for file in files
    }
    by_size: dict[int, list[Path]] = {}
    for file in speaker_of:
        if file.is_file():
            by_size.setdefault(file.stat().st_size, []).append(file)
    content = cache(sha256_of)

    def training_file(file: Path) -> Path | None:
        """Return the training recording that `file` is, or is a copy of."""
        if file in speaker_of:
            return file
        same_size = by_size.get(file.stat().st_size, [])
        return next((candidate for candidate in same_size if content(candidate) == content(file)), None)

    faults = []
    for line, trial in trials:
        for role, recording in (("source", trial.source), ("parallel", trial.parallel)):
            if recording and (match := training_file(recording.resolve())):
                copy = "" if match == recording.resolve() else f", as {match}"
                faults.append(
                    f"line {line}: {role} {recording.name} is in the matching or training set of "
                    f"{speaker_of[match]!r}{copy}, so its scores would be too good; choose a recording that the system "
                    "was not trained on"
                )
    return faults
