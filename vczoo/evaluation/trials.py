"""A trial list in, checked trials out: what is to be converted into whose voice. Every fault in one report.

A trial list is a .csv file with a header and the columns

source           path of the recording to convert
source_speaker   who speaks in it
voice            whose voice it shall have
text             what is said in it, if it is known
parallel         path of the target saying the same sentence, if there is one
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vczoo.data.manifest import composed
from vczoo.errors import CorpusError
from vczoo.evaluation.references import References
from vczoo.io.text import nearest

__all__ = ["Trial", "read_trials"]

REQUIRED = ("source", "source_speaker", "voice")
COLUMNS = (*REQUIRED, "text", "parallel")
SHOWN = 25  # faults of one report; the rest are counted


@dataclass(frozen=True)
class Trial:
    """One conversion to make.

    Attributes:
        source: absolute path of the recording to convert.
        source_speaker: who speaks in it.
        voice: whose voice it shall have.
        text: what is said in it; empty where it is not known.
        parallel: absolute path of the target saying the same sentence, if there is one.
    """

    source: Path
    source_speaker: str
    voice: str
    text: str = ""
    parallel: Path | None = None

    @property
    def name(self) -> str:
        """For files: `<speaker>-<recording>-as-<voice>`."""
        return f"{self.source_speaker}-{self.source.stem}-as-{self.voice}"


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
        path: of the .csv file.
        root: what its paths are relative to; None for its own folder.
        references: real speech of the voices; each voice needs some. A source that is in a matching set is refused:
            converting what a system was shown flatters it. Copies under other names are found, too.
        shown: further recordings that the system was shown, its training data.
        voices: those that the system has; None where it takes any.

    Raises:
        CorpusError: missing columns or files, duplicated pairs, unknown voices, voices without references, sources and
            parallel recordings that the system was shown: all together, with line numbers.
    """
    path = Path(os.path.abspath(path))
    folder = Path(os.path.abspath(root)) if root is not None else path.parent
    faults: list[str] = []
    trials: list[tuple[int, Trial]] = []
    for line, row in _rows(path, faults):
        trial, wrong = _trial(row, folder)
        faults += [f"line {line}: {fault}" for fault in wrong]
        if trial:
            trials.append((line, trial))
    faults += _duplicates(trials)
    if voices is not None:
        faults += _unknown(trials, voices)
    if references is not None:
        faults += _without_references(trials, references, voices)
        faults += _flattering(trials, [references, *([shown] if shown else [])])
    if not trials and not faults:
        faults.append("no trial: a header alone, or nothing")
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise CorpusError("\n  - ".join([f"trial list {path} has {count}:", *faults[:SHOWN], *more]))
    return tuple(trial for _, trial in trials)


def _rows(path: Path, faults: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")  # spreadsheets put a byte order mark first
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
            faults.append(f"no column {', '.join(missing)}; it has {', '.join(names) or 'nothing'}")
        if unknown:
            faults.append(f"no such column: {' '.join(unknown)} Columns: {', '.join(COLUMNS)}")
        for row in reader:
            if None in row:
                faults.append(f"line {reader.line_num}: more fields than columns; quote text that has a comma")
            elif not missing:
                yield reader.line_num, {name: (value or "").strip() for name, value in row.items()}
    except csv.Error as error:
        faults.append(f"line {reader.reader.line_num}: not CSV ({error})")


def _trial(row: dict[str, str], folder: Path) -> tuple[Trial | None, list[str]]:
    faults = [f"no {name}" for name in REQUIRED if not row[name]]
    paths = {name: Path(os.path.abspath(folder / row[name])) for name in ("source", "parallel") if row.get(name)}
    faults += [
        f"{name}: no such file: {file}; check the path, or give the folder that it is relative to"
        for name, file in paths.items()
        if not file.is_file()
    ]
    if faults:
        return None, faults
    speaker, voice = composed(row["source_speaker"]), composed(row["voice"])
    return Trial(paths["source"], speaker, voice, row.get("text", ""), paths.get("parallel")), []


def _duplicates(trials: Sequence[tuple[int, Trial]]) -> list[str]:
    first: dict[tuple[Path, str], int] = {}
    faults = []
    for line, trial in trials:
        before = first.setdefault((trial.source.resolve(), trial.voice), line)
        if before != line:
            faults.append(
                f"line {line}: {trial.source.name} into {trial.voice!r} is in line {before} already; "
                "it would count twice: remove one"
            )
    return faults


def _unknown(trials: Sequence[tuple[int, Trial]], voices: Collection[str]) -> list[str]:
    wanted: dict[str, int] = {}
    for line, trial in trials:
        wanted.setdefault(trial.voice, line)
    return [
        f"line {line}: no voice is called {voice!r}{nearest(voice, voices)} Voices: {', '.join(list(voices)[:12])}"
        for voice, line in wanted.items()
        if voice not in voices
    ]


def _without_references(
    trials: Sequence[tuple[int, Trial]], references: References, voices: Collection[str] | None
) -> list[str]:
    wanted: dict[str, int] = {}
    for line, trial in trials:
        if voices is None or trial.voice in voices:
            wanted.setdefault(trial.voice, line)
    return [
        f"line {line}: no real recording of {voice!r} to compare with{nearest(voice, references.matching)} Give "
        "references, a manifest or a folder SPEAKER/*.wav, that have some"
        for voice, line in wanted.items()
        if not references.matching.get(voice)
    ]


def _flattering(trials: Sequence[tuple[int, Trial]], shown: Sequence[References]) -> list[str]:
    """Trials whose recordings the system was shown, found by path and by content."""
    speaker_of = {
        file.resolve(): speaker for known in shown for speaker, files in known.matching.items() for file in files
    }
    by_size: dict[int, list[Path]] = {}
    for file in speaker_of:
        if file.is_file():
            by_size.setdefault(file.stat().st_size, []).append(file)
    hashes: dict[Path, bytes] = {}

    def content(file: Path) -> bytes:
        if file not in hashes:
            with file.open("rb") as stream:
                hashes[file] = hashlib.file_digest(stream, "sha256").digest()
        return hashes[file]

    def found(file: Path) -> Path | None:
        """The recording of the system's that a file is, or is a copy of."""
        if file in speaker_of:
            return file
        return next((known for known in by_size.get(file.stat().st_size, []) if content(known) == content(file)), None)

    faults = []
    for line, trial in trials:
        for role, recording in (("source", trial.source), ("parallel", trial.parallel)):
            if recording and (known := found(recording.resolve())):
                copy = "" if known == recording.resolve() else f", as {known}"
                whose = f"the matching or training set of {speaker_of[known]!r}{copy}"
                faults.append(
                    f"line {line}: {role} {recording.name} is in {whose}: it would flatter. Take a recording that no "
                    "system was shown"
                )
    return faults
