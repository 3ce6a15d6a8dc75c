"""Converting a folder of recordings to a folder of the same structure, optionally in several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from vczoo.audio.pitch import log_ratio
from vczoo.audio.writer import Depth
from vczoo.conversion.converter import Converter
from vczoo.conversion.outputs import pair_folder, refuse_outputs
from vczoo.conversion.voice_mix import VoiceChoice
from vczoo.conversion.workers import Job, Workers
from vczoo.errors import FolderError, VczooError
from vczoo.io.progress import FileBar
from vczoo.io.temporary import sweep_partials, temporary_folder
from vczoo.registry.zoo import the_zoo
from vczoo.runs.run_writer import save_run

__all__ = ["Converted", "convert_files", "convert_folder"]


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
    voice: VoiceChoice = None,
    *,
    semitones: float | None = None,
    suffix: str = ".wav",
    jobs: int = 1,
    overwrite: bool = False,
    mark: bool = True,
    watermark: str = "",
    channel: str | None = None,
    depth: Depth = "16",
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
        channel: As for `Converter.convert`.
        depth: As for `Converter.convert_file`.
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
    pairs = pair_folder(Path(folder), Path(out), suffix)
    return convert_files(
        converter,
        pairs,
        voice,
        semitones=semitones,
        jobs=jobs,
        overwrite=overwrite,
        mark=mark,
        watermark=watermark,
        channel=channel,
        depth=depth,
        progress=progress,
        folder=str(folder),
    )


def convert_files(
    converter: Converter,
    pairs: Sequence[tuple[Path, Path]],
    voice: VoiceChoice = None,
    *,
    semitones: float | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    mark: bool = True,
    watermark: str = "",
    channel: str | None = None,
    depth: Depth = "16",
    progress: bool = True,
    folder: str = "",
) -> tuple[Converted, ...]:
    """Convert recordings to files. A faulty recording does not stop the others.

    Args:
        converter: The converter of a loaded run.
        pairs: Each recording, with the file to write.
        voice: As for `Converter.convert`.
        semitones: As for `Converter.convert`.
        jobs: As for `convert_folder`.
        overwrite: As for `convert_folder`.
        mark: As for `convert_folder`.
        watermark: As for `convert_folder`.
        channel: As for `convert_folder`.
        depth: As for `convert_folder`.
        progress: As for `convert_folder`.
        folder: Folder of the recordings, for the message of a `FolderError`; empty if they are in several.

    Returns:
        A record of each conversion, sorted by path.

    Raises:
        VoiceError, AudioError, FolderError, VczooError: As for `convert_folder`.
    """
    if jobs < 1:
        raise VczooError(f"jobs is 1 or more, got {jobs}")
    if semitones is not None:
        log_ratio(semitones)
    if watermark:
        the_zoo().find("watermark", watermark)
    refuse_outputs(pairs, overwrite, depth)
    for out in {target.parent for _, target in pairs}:
        sweep_partials(out)
    converter, shares = converter.with_references(voice)
    work = [
        Job(source, target, shares, semitones, overwrite, mark, watermark, channel, depth) for source, target in pairs
    ]
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
        raise FolderError(folder, tuple(converted), faults, len(work))
    return tuple(converted)


def _outcomes(converter: Converter, work: list[Job], jobs: int) -> Iterator[tuple[Job, float | str]]:
    """Yield each job, as it finishes, with the seconds that it converted or an error message."""
    if jobs == 1:
        for job in work:
            yield job, job.run(converter)
        return
    with temporary_folder("run") as temporary:
        # A copy of the run in memory, with the voices of the mix, even those that it does not own.
        voices = {name: replace(converter.run.voices[name], lent=False) for name in work[0].shares}
        run = save_run(replace(converter.run, voices=voices), temporary / "run")
        with Workers(run, str(converter.device), jobs, converter.run.revision) as workers:
            yield from workers.map(work)
