"""A folder of recordings in, a folder of the same shape in another voice out; by several processes if wished."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from vczoo.audio.pitch import log_ratio
from vczoo.audio.reader import AUDIO_SUFFIXES
from vczoo.conversion.converter import Converter
from vczoo.conversion.voice_mix import read_mix
from vczoo.conversion.workers import Job, Workers
from vczoo.errors import AudioError, FolderError, VczooError
from vczoo.io.files import file_above
from vczoo.io.progress import FileBar
from vczoo.io.text import truncated_list
from vczoo.registry.zoo import the_zoo
from vczoo.runs.run_folder import save_run

__all__ = ["Converted", "convert_folder"]

KEEP = "keep"


@dataclass(frozen=True)
class Converted:
    """A recording that was converted.

    Attributes:
        source: the recording.
        out: the file that was made.
        seconds: its length.
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
    """Convert every recording below a folder; a faulty one does not stop the others.

    Args:
        converter: a loaded run.
        folder: WAV, FLAC, OGG and MP3 files below it are converted; hidden ones are passed over, and so is what lies
            in `out`, where that is inside; links to folders are not followed.
        out: the folder to make; a file has the path there that its recording has below `folder`.
        voice: as for `Converter.convert`.
        semitones: as for `Converter.convert`.
        suffix: of the files that are made, or "keep" for each recording's own.
        jobs: processes, each with the run in its memory and its share of torch's threads.
        overwrite: whether files that are there are replaced.
        mark: whether each file's metadata say that it is synthetic, as with `Converter.convert_file`.
        watermark: as for `Converter.convert`.
        progress: whether a bar is drawn on a terminal.

    Returns:
        What was made, in the order of the paths.

    Raises:
        VoiceError: no such voice, or the recipe only recognises.
        AudioError: there is no such folder, no recording below it, a file to make exists, or a file is where a folder
            is to be made; nothing was made then.
        FolderError: some recordings could not be converted: all of them, with reasons, and what was made.
        VczooError: `suffix`, `jobs` or `semitones` is out of range, or there is no such watermark.
    """
    folder, out = Path(folder), Path(out)
    if suffix != KEEP and suffix not in AUDIO_SUFFIXES:
        raise VczooError(f"suffix is one of {', '.join(AUDIO_SUFFIXES)}, or {KEEP}; got {suffix!r}")
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
    made: list[Converted] = []
    faults: dict[Path, str] = {}
    with FileBar(len(work)) if progress else nullcontext() as bar:
        for job, outcome in _outcomes(converter, work, min(jobs, len(work))):
            if isinstance(outcome, str):
                faults[job.source] = outcome
            else:
                made.append(Converted(job.source, job.out, outcome))
            if bar:
                bar.done(job.source.name)
    made.sort(key=lambda one: one.source)
    if faults:
        raise FolderError(str(folder), tuple(made), faults, len(work))
    return tuple(made)


def _outcomes(converter: Converter, work: list[Job], jobs: int) -> Iterator[tuple[Job, float | str]]:
    """Each job with the seconds that it made, or what was wrong, as they get ready."""
    if jobs == 1:
        for job in work:
            yield job, job.run(converter)
        return
    with TemporaryDirectory(prefix="vczoo-run-") as place:
        # As it is in memory, with voices that were enrolled since it was loaded; the run itself stays where it is.
        run = save_run(replace(converter.run), Path(place) / "run")
        with Workers(run, str(converter.device), jobs, converter.run.revision) as workers:
            yield from workers.map(work)


def _pairs(folder: Path, out: Path, suffix: str) -> list[tuple[Path, Path]]:
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder; check the path")
    if out.resolve() == folder.resolve():
        raise AudioError(f"{out}: the recordings themselves are there; choose another folder for what is made")
    found = sorted(_recordings(folder, out.resolve()))
    if not found:
        raise AudioError(f"{folder}: no recording below it; {', '.join(AUDIO_SUFFIXES)} were looked for")
    made = [out / path.relative_to(folder) for path in found]
    return list(zip(found, made if suffix == KEEP else [path.with_suffix(suffix) for path in made], strict=True))


def _recordings(folder: Path, out: Path) -> Iterator[Path]:
    """Recordings below a folder, but for what lies in `out`, which may be inside it."""
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise AudioError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():  # a link inside could lead back up
            if entry.resolve() != out:
                yield from _recordings(entry, out)
        elif entry.suffix.lower() in AUDIO_SUFFIXES:
            yield entry


def _refuse_blocked(targets: Iterable[Path]) -> None:
    """Refuse, before any work, outputs that would lie in a file."""
    if above := sorted({file for target in targets if (file := file_above(target))}):
        told = "\n  ".join(truncated_list(list(map(str, above))))
        raise AudioError(f"a file is where a folder is to be made; choose another folder, or move it:\n  {told}")


def _refuse_taken(pairs: Iterable[tuple[Path, Path]], overwrite: bool) -> None:
    """Refuse, all at once and before any work, outputs that exist and recordings that would become one file."""
    lines: list[str] = []
    sources: dict[str, Path] = {}
    for source, target in pairs:
        # Case does not tell files apart everywhere.
        other = sources.setdefault(str(target).casefold(), source)
        if other != source:
            lines.append(f"{target}: both {other} and {source} would become it; keep their suffixes, or rename one")
        elif target.exists() and not overwrite:
            lines.append(f"{target} exists")
    if lines:
        count = f"{len(lines)} file{'s' * (len(lines) > 1)}"
        raise AudioError(
            "\n  ".join([f"{count} cannot be made; choose another folder, or overwrite:", *truncated_list(lines)])
        )
