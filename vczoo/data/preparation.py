"""Preparation of recordings for training: cut at pauses, trimmed, leveled, and checked for speech and noise."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vczoo.audio.speech_detection import load_speech_detector
from vczoo.audio.waveform import Waveform
from vczoo.data.excerpts import cut_part
from vczoo.data.folder_walk import recordings_below
from vczoo.data.listing import expand_recordings
from vczoo.data.pauses import FRAME_SECONDS, cut_at_pauses, frame_levels
from vczoo.errors import AudioError
from vczoo.io.files import file_above
from vczoo.io.temporary import temporary_name
from vczoo.io.text import harmless, truncated_list

__all__ = ["Piece", "PreparedRecording", "prepare"]

SHORTEST_SECONDS = 1.0  # of a piece, after trimming
MARGIN_SECONDS = 0.1  # kept before and after the speech of a piece
SILENT_DB = 35.0  # a frame so far below the loud ones of its piece is trimmed off at an end
LEAST_RANGE_DB = 15.0  # between loud and quiet frames; white noise 10 dB below the speech leaves 16 dB
LEAST_SPEECH = 0.3  # share of a piece
LEVEL_DB = -23.0  # RMS of the frames with speech, in dB of full scale
HIGHEST_PEAK = 0.95  # a louder peak lowers the level
LOUD, QUIET = 0.95, 0.1  # quantiles of the levels of frames


@dataclass(frozen=True)
class Piece:
    """A part of a recording.

    Attributes:
        start: Where it begins in the recording, in seconds.
        end: Where it ends, in seconds.
        file: The file it was written to; None if it was dropped.
        reason: Why it was dropped, or "".
        range_db: Difference between its loud and its quiet frames in dB.
    """

    start: float
    end: float
    file: Path | None
    reason: str
    range_db: float

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class PreparedRecording:
    """What became of a recording.

    Attributes:
        path: The recording.
        seconds: Its duration; 0 if it cannot be read.
        pieces: Its parts in order, with those that were dropped.
        fault: Why it cannot be used as a whole, or "".
    """

    path: Path
    seconds: float
    pieces: tuple[Piece, ...] = ()
    fault: str = ""

    @property
    def kept(self) -> tuple[Piece, ...]:
        """The parts that were written."""
        return tuple(piece for piece in self.pieces if piece.file is not None)


def prepare(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    keep_noisy: bool = False,
    watch: Callable[[str], None] | None = None,
) -> tuple[PreparedRecording, ...]:
    """Cut recordings into pieces of sentence length, and write those that are fit to train on.

    A piece is trimmed to its speech, brought to -23 dB of full scale, and written as 16-bit WAV at the rate of its
    recording. A piece of less than a second, one without speech (if the extra `prepare` is installed), and one whose
    loud frames are less than 15 dB above its quiet ones is dropped. Preparing the result again changes nothing but
    rounding.

    Args:
        source: A recording, a folder, whose structure is kept, or a wildcard.
        out: The folder to create. It appears complete or not at all; an empty folder is replaced.
        keep_noisy: Keep pieces that are too noisy.
        watch: Called with the name of each recording before it is read.

    Raises:
        AudioError: There is no recording, `out` is not empty or cannot be written, or no piece is fit to train on. The
            message says why.
    """
    folder, target = Path(source), Path(out)
    _check_target(folder, target)
    if folder.is_dir():
        recordings = recordings_below(folder, [], without=target.resolve())
    else:
        recordings = expand_recordings([folder], [])
    if not recordings:
        raise AudioError(f"{harmless(folder)}: no recording is in this folder; name one that holds recordings")
    base = folder if folder.is_dir() else Path(os.path.commonpath([path.parent for path in recordings]))
    speech_share = load_speech_detector()
    beside = target.with_name(temporary_name(f".{target.name}"))
    try:
        beside.mkdir(parents=True)
        prepared = []
        for path in recordings:
            if watch:
                watch(str(path))
            place = path.relative_to(base).with_suffix("")
            prepared.append(_prepare_recording(path, place, beside, keep_noisy, speech_share))
        if not any(recording.kept for recording in prepared):
            raise AudioError(f"{harmless(folder)}: no piece is fit to train on:\n  " + "\n  ".join(_reasons(prepared)))
        if target.exists():
            target.rmdir()
        beside.rename(target)
    except OSError as error:
        raise AudioError(f"{target} cannot be written ({error.strerror or error}); choose another folder") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return tuple(_moved(recording, beside, target) for recording in prepared)


def _check_target(source: Path, target: Path) -> None:
    """Raise AudioError if the folder to create is in use."""
    if above := file_above(target):
        raise AudioError(f"{target} cannot be created, because {above} is a file; choose another folder")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AudioError(f"{target} already exists, and is not an empty folder; choose another one")
    if target.resolve() == source.resolve():
        raise AudioError(f"{target} is the folder of the recordings; choose another one")


def _prepare_recording(
    path: Path, place: Path, out: Path, keep_noisy: bool, speech_share: Callable[[Waveform], float] | None
) -> PreparedRecording:
    """Cut one recording, and write its pieces as PLACE-001.wav below a folder, or as PLACE.wav if it stays whole."""
    try:
        wave = Waveform.read(path)
    except AudioError as error:
        return PreparedRecording(path, 0.0, fault=str(error).removeprefix(f"{harmless(path)}: "))
    spans = cut_at_pauses(wave)
    pieces: list[Piece] = []
    for start, end in spans:
        levels = frame_levels(cut_part(wave, start, end)).clamp_min(1e-5)
        loud, quiet = (float(levels.quantile(share)) for share in (LOUD, QUIET))
        range_db = _decibels(loud) - _decibels(quiet)
        start, end = _trimmed(levels, loud, start, end)
        part = cut_part(wave, start, end)
        reason = _reason(part, range_db, keep_noisy, speech_share)
        file = None
        if not reason:
            number = f"-{len([piece for piece in pieces if piece.file]) + 1:03d}" if len(spans) > 1 else ""
            file = _free(out / place.with_name(f"{place.name}{number}.wav"))
            _leveled(part).save(file)
        pieces.append(Piece(start, end, file, reason, range_db))
    return PreparedRecording(path, wave.seconds, tuple(pieces))


def _trimmed(levels: torch.Tensor, loud: float, start: float, end: float) -> tuple[float, float]:
    """Start and end of the speech in a piece, with a margin."""
    audible = (levels >= loud * 10 ** (-SILENT_DB / 20)).nonzero()[:, 0]
    first = start + int(audible[0]) * FRAME_SECONDS - MARGIN_SECONDS
    last = start + (int(audible[-1]) + 1) * FRAME_SECONDS + MARGIN_SECONDS
    return round(max(start, first), 3), round(min(end, last), 3)


def _reason(part: Waveform, range_db: float, keep_noisy: bool, speech_share: Callable[[Waveform], float] | None) -> str:
    """Why a piece is not fit to train on, or ""."""
    if part.seconds < SHORTEST_SECONDS:
        return "too short"
    if speech_share is not None and speech_share(part) < LEAST_SPEECH:
        return "no speech"
    if range_db < LEAST_RANGE_DB and not keep_noisy:
        return "too noisy"
    return ""


def _leveled(part: Waveform) -> Waveform:
    """The piece at the standard level of speech, or lower if its peaks would clip."""
    levels = frame_levels(part)
    speech = levels[levels >= levels.max() * 10 ** (-SILENT_DB / 20)]
    gain = 10 ** (LEVEL_DB / 20) / float(speech.square().mean().sqrt())
    gain = min(gain, HIGHEST_PEAK / float(part.samples.abs().max()))
    return Waveform.of(part.samples * gain, part.sample_rate_hz)


def _free(file: Path) -> Path:
    """The path, or one with a number that is free: a.mp3 and a.wav would become one file."""
    number = 2
    free = file
    while free.exists():
        free = file.with_stem(f"{file.stem}_{number}")
        number += 1
    return free


def _moved(recording: PreparedRecording, beside: Path, target: Path) -> PreparedRecording:
    """The record with the final paths."""
    pieces = tuple(
        Piece(
            piece.start,
            piece.end,
            target / piece.file.relative_to(beside) if piece.file else None,
            piece.reason,
            piece.range_db,
        )
        for piece in recording.pieces
    )
    return PreparedRecording(recording.path, recording.seconds, pieces, recording.fault)


def _reasons(prepared: Sequence[PreparedRecording]) -> list[str]:
    """A line for each recording that says why nothing of it was kept."""
    lines = []
    for recording in prepared:
        reasons = dict.fromkeys(piece.reason for piece in recording.pieces)
        lines.append(f"{harmless(recording.path)}: {recording.fault or ', '.join(reasons) or 'no sound'}")
    return truncated_list(lines)


def _decibels(level: float) -> float:
    return 20 * float(torch.tensor(level).log10())
