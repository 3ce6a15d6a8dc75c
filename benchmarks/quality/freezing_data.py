"""Recordings of the freezing bench: pieces of sentence length, and the lists of what is trained on and measured.

For conversion, each voice is tuned to separately. Pieces of its recordings train and validate. A minute of its other
recordings is what conversions are compared with, and the sources are those of clean5-kept-out.csv.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import vczoo
from benchmarks.quality.systems import LISTS
from vczoo.data.excerpts import write_part
from vczoo.data.pauses import cut_at_pauses
from vczoo.io.files import write_text

TRIALS = LISTS / "clean5-kept-out.csv"
REFERENCE_SECONDS = 60.0
POOL_SECONDS = 200.0  # to choose three minutes from
VALIDATION_PIECES = 2
TEST_SECONDS = 30.0  # for speaker recognition


@dataclass(frozen=True)
class Lists:
    """The files that list recordings.

    Attributes:
        manifest: The pieces to train and validate on and, for speaker recognition, to test on.
        references: Real speech of the voice; None for speaker recognition.
        trials: The sources to convert; None for speaker recognition.
    """

    manifest: Path
    references: Path | None = None
    trials: Path | None = None


def recordings(data: Path, speaker: str) -> list[Path]:
    """A speaker's recordings.

    Raises:
        SystemExit: There are none.
    """
    files = sorted(path for path in (data.resolve() / speaker).glob("*") if path.suffix in {".ogg", ".flac", ".wav"})
    if not files:
        raise SystemExit(f"{data / speaker}: no .ogg, .flac or .wav files; --data is a folder SPEAKER/*.ogg")
    return files


def pieces(files: Iterable[Path], folder: Path) -> Iterator[tuple[Path, float]]:
    """Cut recordings at pauses into WAV files of 3 to 9 seconds, and yield them with their seconds."""
    for file in files:
        wave = vczoo.Waveform.read(file)
        for start, end in cut_at_pauses(wave):
            yield write_part(wave, file, start, end, folder), end - start


def voice_lists(data: Path, voice: str, folder: Path) -> Lists:
    """The lists for a voice that is tuned to, written into the folder.

    Raises:
        SystemExit: The voice has too little speech, or the trial list has no source for it.
    """
    with TRIALS.open(encoding="utf-8", newline="") as file:
        trials = list(csv.DictReader(file))
    sources = {row["source"] for row in trials}
    own = [row for row in trials if row["voice"] == voice]
    if not own:
        raise SystemExit(f"{TRIALS.name} has no trials for {voice}; its voices: {', '.join(voices())}")
    free = iter([path for path in recordings(data, voice) if f"{voice}/{path.name}" not in sources])
    references, seconds = [], 0.0
    for path in free:
        references.append((str(path), voice, "train"))
        seconds += vczoo.Waveform.read(path).seconds
        if seconds >= REFERENCE_SECONDS:
            break
    rows, seconds = [], 0.0
    for number, (path, length) in enumerate(pieces(free, folder / "pieces")):
        split = "validation" if number < VALIDATION_PIECES else "train"
        rows.append((str(path), voice, split))
        seconds += length if split == "train" else 0
        if seconds >= POOL_SECONDS:
            break
    if seconds < POOL_SECONDS:
        raise SystemExit(
            f"{voice} has {seconds:.0f} s to train on besides what is measured, expected {POOL_SECONDS:.0f}"
        )
    lists = Lists(folder / "manifest.csv", folder / "references.csv", folder / "trials.csv")
    assert lists.references
    assert lists.trials
    _write(lists.manifest, ("path", "speaker", "split"), rows)
    _write(lists.references, ("path", "speaker", "split"), references)
    sources_of_voice = [(str(data.resolve() / row["source"]), row["source_speaker"], voice) for row in own]
    _write(lists.trials, ("source", "source_speaker", "voice"), sources_of_voice)
    return lists


def speaker_lists(data: Path, speakers: Iterable[str], folder: Path) -> Lists:
    """The list for speaker recognition: of each speaker pieces to test, to validate and to train on, in this order."""
    rows = []
    for speaker in speakers:
        tested = trained = 0.0
        validated = 0
        for path, length in pieces(recordings(data, speaker), folder / "pieces" / speaker):
            if tested < TEST_SECONDS:
                split, tested = "test", tested + length
            elif validated < VALIDATION_PIECES:
                split, validated = "validation", validated + 1
            else:
                split, trained = "train", trained + length
            rows.append((str(path), speaker, split))
            if trained >= POOL_SECONDS:
                break
    _write(folder / "manifest.csv", ("path", "speaker", "split"), rows)
    return Lists(folder / "manifest.csv")


def voices() -> list[str]:
    """The voices of the trial list, sorted."""
    with TRIALS.open(encoding="utf-8", newline="") as file:
        return sorted({row["voice"] for row in csv.DictReader(file)})


def _write(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    # The pieces are cut once; the same lists again do not disturb a bench that goes on.
    write_text(path, "".join(",".join(row) + "\n" for row in (header, *rows)))
