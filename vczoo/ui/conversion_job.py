"""Conversions of a page: one recording with the time it may take, and a batch into a zip file."""

from __future__ import annotations

import shutil
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from vczoo.audio.waveform import Waveform
from vczoo.conversion.folder import Converted, convert_folder
from vczoo.errors import AudioError, FolderError, VczooError
from vczoo.io.names import file_stem
from vczoo.ui.bounds import Bounds, read_clip
from vczoo.ui.models import SessionVoices
from vczoo.ui.sessions import Session

__all__ = ["MOST_DB", "BatchResult", "Choice", "convert_batch", "convert_clip"]

MOST_DB = 12.0
LOUDEST = 0.98


class Choice(NamedTuple):
    """What to convert to.

    Attributes:
        voice: Label of the voice.
        other: Label of the voice to mix with; "" for none.
        share: Share of the other voice, 0 to 1.
        semitones: Pitch shift; None moves the mean pitch to that of the voice.
        level_db: Gain of the result in dB.
    """

    voice: str
    other: str = ""
    share: float = 0.0
    semitones: float | None = None
    level_db: float = 0.0


class BatchResult(NamedTuple):
    """A converted batch.

    Attributes:
        zip_file: The conversions.
        files: How many there are.
        faults: What could not be converted, in sentences.
    """

    zip_file: Path
    files: int
    faults: tuple[str, ...]


def convert_clip(
    session: Session, voices: SessionVoices, source: Path, choice: Choice, bounds: Bounds
) -> tuple[Path, Path]:
    """Convert a recording.

    Returns:
        The source as a WAV file at the model's rate, which every browser plays, and the conversion.

    Raises:
        VczooError: As for `Converter.convert_file`; or it takes too long.
    """
    wave = read_clip(source, bounds.source_seconds)
    converter, shares = voices.chosen(choice.voice, choice.other, choice.share)
    heard, result = session.new_file(".wav"), session.new_file(".wav")
    wave = wave.resample(converter.model.sample_rate_hz)
    wave.save(heard)
    converter.convert_file(wave, result, shares, semitones=choice.semitones, watch=_deadline(bounds.conversion_seconds))
    if choice.level_db:
        change_level(result, choice.level_db)
    return heard, result


def convert_batch(
    session: Session, voices: SessionVoices, sources: Sequence[Path], choice: Choice, bounds: Bounds
) -> BatchResult:
    """Convert several recordings into a zip file. A faulty one does not stop the others.

    Raises:
        VczooError: There are too many, they are too long together, or none could be converted.
    """
    if not sources:
        raise VczooError("choose one recording or more")
    if len(sources) > bounds.clips:
        raise VczooError(f"at most {bounds.clips} recordings at once, got {len(sources)}; convert the rest afterwards")
    converter, shares = voices.chosen(choice.voice, choice.other, choice.share)
    folder = session.new_folder()
    faults: list[str] = []
    try:
        left = bounds.clips_seconds
        for number, source in enumerate(sources, 1):
            try:
                wave = read_clip(source, left)
                left -= wave.seconds
                wave.save(folder / "in" / f"{number:02}-{file_stem(source.stem)}.wav")
            except AudioError as error:
                faults.append(str(error))
        if len(faults) == len(sources):
            raise AudioError("no recording could be converted: " + "; ".join(faults))
        out = folder / "out"
        try:
            made: Sequence[object] = convert_folder(
                converter, folder / "in", out, shares, semitones=choice.semitones, progress=False
            )
        except FolderError as error:
            made = error.made
            faults += [fault.replace(f"{folder}/in/", "") for fault in error.faults.values()]
            if not made:
                raise VczooError("no recording could be converted: " + "; ".join(faults)) from error
        target = session.new_file(".zip")
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for conversion in made:
                assert isinstance(conversion, Converted)
                if choice.level_db:
                    change_level(conversion.out, choice.level_db)
                archive.write(conversion.out, conversion.out.name)
        return BatchResult(target, len(made), tuple(faults))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def change_level(path: Path, level_db: float) -> None:
    """Make a WAV file louder or softer, as far as no sample is cut off. Its provenance mark stays.

    Raises:
        VczooError: The change is beyond 12 dB.
    """
    if not -MOST_DB <= level_db <= MOST_DB:
        raise VczooError(f"the level changes by -{MOST_DB:g} to {MOST_DB:g} dB, got {level_db:g}")
    wave = Waveform.read(path)
    peak = float(wave.samples.abs().max())
    gain = min(10 ** (level_db / 20), max(1.0, LOUDEST / max(peak, 1e-6)) if level_db > 0 else 1.0)
    replace(wave, samples=wave.samples * gain).save(path, overwrite=True)


def _deadline(seconds: float) -> Callable[[float], None]:
    """A progress callback that ends a conversion after some seconds."""
    began = time.monotonic()

    def watch(_: float) -> None:
        if time.monotonic() - began > seconds:
            raise VczooError(
                f"this took longer than {seconds:.0f} s, which is all that a page may take; use a shorter one"
            )

    return watch
