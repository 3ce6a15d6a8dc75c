"""Converting a folder of recordings to a folder of the same structure, optionally in several processes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from vczoo.audio.pitch import log_ratio
from vczoo.audio.reader import AUDIO_SUFFIXES
from vczoo.audio.writer import WRITE_SUFFIXES
from vczoo.conversion.converter import Converter
from vczoo.conversion.voice_mix import read_mix
from vczoo.conversion.workers import Job, Workers
from vczoo.errors import AudioError, AudioWarning, FolderError, VczooError
from vczoo.io.files import file_above
from vczoo.io.progress import FileBar
from vczoo.io.text import truncated_list
from vczoo.registry.zoo import the_zoo
from vczoo.runs.run_folder import save_run

__all__ = ["Converted", "convert_folder"]

KEEP = "keep"
MOST_NAMES = 5


@dataclass(frozen=True)
class Converted:
    """Record of one conversion of a folder.

    Attributes:
        source: Path of the recording.
        out: Path of the converted file.
        seconds: Duration of the converted file in seconds.
    """

    source: Path
    out: Path
    seconds: float


def convert_folder(
    converter: Converter,
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    voice: str | Mapping[str, float],
    *,
    semitones: float | None = None,
    suffix: str = ".wav",
    jobs: int = 1,
    overwrite: bool = False,
    mark: bool = True,
    watermark: str = "",
    progress: bool = True,
) -> tuple[Converted, ...]:
    """Convert every recording in a folder and its subfolders. A faulty recording does not stop the others.

    Args:
        converter: The converter of a loaded run.
        folder: Folder whose recordings are converted, found by the suffixes in `AUDIO_SUFFIXES`. Hidden files are
            skipped, and so are files in `out` if it is inside. Links to folders are not followed.
        out: Folder to write. A converted file has the same relative path as its recording has in `folder`.
        voice: As for `Converter.convert`.
        semitones: As for `Converter.convert`.
        suffix: Suffix of the converted files, or "keep" to use that of each recording, or .wav if it cannot be written.
        jobs: Number of processes. Each holds the run in its memory and gets its share of torch's threads.
        overwrite: Whether to replace existing files.
        mark: Whether each file's metadata say that it is synthetic, as for `Converter.convert_file`.
        watermark: As for `Converter.convert`.
        progress: Whether to show a progress bar on a terminal.

    Returns:
        A record of each conversion, sorted by path.

    Raises:
        VoiceError: There is no such voice, or the recipe has no voice head.
        AudioError: The folder does not exist or holds no recording, an output file exists, or a file is in the place of
            an output folder. Nothing is converted then.
        FolderError: Some recordings could not be converted. It lists them with reasons, and holds the conversions of
            the others.
        VczooError: `suffix`, `jobs` or `semitones` is out of range, or there is no such watermark.
    """
    folder, out = Path(folder), Path(out)
    if suffix != KEEP and suffix not in WRITE_SUFFIXES:
        raise VczooError(f"suffix is one of {', '.join(WRITE_SUFFIXES)}, or {KEEP}; got {suffix!r}")
    if jobs < 1:
        raise VczooError(f"jobs is 1 or more, got {jobs}")
    shares = read_mix(voice, converter.voices)
    converter.model.check_converts()
    if semitones is not None:
        log_ratio(semitones)
    if watermark:
        the_zoo().find("watermark", watermark)
    pairs = _pairs(folder, out, suffix)
    _refuse_blocked(target for _, target in pairs)
    _refuse_taken(pairs, overwrite)
    work = [Job(source, target, shares, semitones, overwrite, mark, watermark) for source, target in pairs]
    converted: list[Converted] = []
    faults: dict[Path, str] = {}
    with FileBar(len(work)) if progress else nullcontext() as bar:
        for job, outcome in _outcomes(converter, work, min(jobs, len(work))):
            if isinstance(outcome, str):
                faults[job.source] = outcome
            else:
                converted.append(Converted(job.source, job.out, outcome))
            if bar:
                bar.done(job.source.name)
    converted.sort(key=lambda item: item.source)
    if faults:
        raise FolderError(str(folder), tuple(converted), faults, len(work))
    return tuple(converted)


def _outcomes(converter: Converter, work: list[Job], jobs: int) -> Iterator[tuple[Job, float | str]]:
    """Yield each job, as it finishes, with the seconds that it converted or an error message."""
    if jobs == 1:
        for job in work:
            yield job, job.run(converter)
        return
    with TemporaryDirectory(prefix="vczoo-run-") as temporary:
        # A copy of the run in memory, with the voices that are needed, even if they are lent or were not saved yet.
        voices = {name: replace(converter.run.voices[name], lent=False) for name in work[0].shares}
        run = save_run(replace(converter.run, voices=voices), Path(temporary) / "run")
        with Workers(run, str(converter.device), jobs, converter.run.revision) as workers:
            yield from workers.map(work)


def _pairs(folder: Path, out: Path, suffix: str) -> list[tuple[Path, Path]]:
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder; check the path")
    if out.resolve() == folder.resolve():
        raise AudioError(f"{out}: it is the folder of the recordings; choose another folder for the conversions")
    others: list[Path] = []
    sources = sorted(_recordings(folder, out.resolve(), others))
    if not sources:
        raise AudioError(f"{folder}: no recording below it; {', '.join(AUDIO_SUFFIXES)} were looked for")
    if others:
        names = ", ".join(truncated_list([str(path.relative_to(folder)) for path in sorted(others)], MOST_NAMES))
        count = f"{len(others)} file{'s' * (len(others) > 1)}"
        reason = f"passed over {count} without the suffix of a sound: {names}"
        warnings.warn(f"{folder}: {reason}", AudioWarning, stacklevel=3)
    targets = [out / path.relative_to(folder) for path in sources]
    if suffix == KEEP:
        targets = [path if path.suffix.lower() in WRITE_SUFFIXES else path.with_suffix(".wav") for path in targets]
    else:
        targets = [path.with_suffix(suffix) for path in targets]
    return list(zip(sources, targets, strict=True))


def _recordings(folder: Path, out: Path, others: list[Path]) -> Iterator[Path]:
    """Yield the recordings in a folder and its subfolders, except those in `out`, which may be inside it.

    Other files are added to `others`.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise AudioError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():  # a link inside could lead back up
            if entry.resolve() != out:
                yield from _recordings(entry, out, others)
        elif entry.suffix.lower() in AUDIO_SUFFIXES:
            yield entry
        elif entry.is_file():
            others.append(entry)


def _refuse_blocked(targets: Iterable[Path]) -> None:
    """Raise AudioError, before any work, if an output folder would be in the place of a file."""
    if above := sorted({file for target in targets if (file := file_above(target))}):
        paths = "\n  ".join(truncated_list(list(map(str, above))))
        raise AudioError(f"a file is in the place of an output folder; move it, or choose another folder:\n  {paths}")


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
