"""Decoding of a corpus's recordings, each file once: the usable utterances in them, and pieces of long recordings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from torch import Tensor

from vczoo.audio.limits import SILENCE_PEAK
from vczoo.audio.reader import SoundReader
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import READERS, Skipped
from vczoo.data.duplicates import envelope
from vczoo.data.excerpts import cut_part
from vczoo.data.manifest import Listed
from vczoo.data.pauses import cut_at_pauses
from vczoo.errors import AudioError
from vczoo.io.text import harmless, truncated_list

__all__ = ["Decoded", "decode_recordings"]

LONG_SECONDS = 15.0  # a recording that is longer holds several sentences
FEW = 10  # of fewer recordings, a tenth for validation and a tenth for test would be too large a part
END_TOLERANCE_SECONDS = 0.1  # a manifest may round the end of a file up
UNUSUAL_SECONDS = 600.0  # recordings that are longer, or of unknown length, are decoded one at a time
_one_long_recording = Lock()


@dataclass
class Decoded:
    """What decoding some recordings has shown.

    Attributes:
        seconds: The duration of each usable utterance. A long recording that was cut is replaced by its pieces.
        envelopes: The envelope of each usable utterance.
        skipped: The unusable ones.
        faults: Parts that a manifest lists but that are not in their files.
        pieces: The number of pieces of each recording that was cut, and its seconds without speech.
    """

    seconds: dict[Listed, float] = field(default_factory=dict)
    envelopes: dict[Listed, Tensor] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    pieces: dict[Listed, tuple[int, float]] = field(default_factory=dict)

    def add(self, other: Decoded) -> None:
        """Add what decoding other recordings has shown."""
        self.seconds |= other.seconds
        self.envelopes |= other.envelopes
        self.skipped += other.skipped
        self.faults += other.faults
        self.pieces |= other.pieces

    def cut_notes(self) -> tuple[str, ...]:
        """One note for each recording that was cut at pauses."""
        lines = []
        for item, (count, silence) in self.pieces.items():
            left_out = f"; {silence:.0f} s without speech were left out" if silence >= 1 else ""
            lines.append(
                f"{harmless(item.path.name)} of {item.speaker} was cut at pauses into {count} pieces{left_out}"
            )
        return tuple(truncated_list(lines))


def decode_recordings(listed: Sequence[Listed]) -> Decoded:
    """Decode every file once."""
    of_speaker = Counter(item.speaker for item in listed)
    by_file: defaultdict[tuple[Path, str], list[Listed]] = defaultdict(list)
    for item in listed:
        by_file[item.path, item.channel].append(item)

    def decode(items: Sequence[Listed]) -> Decoded:
        return _decode_file(items, few=[item for item in items if of_speaker[item.speaker] < FEW])

    decoded = Decoded()
    with ThreadPoolExecutor(READERS) as pool:
        for outcome in pool.map(decode, by_file.values()):
            decoded.add(outcome)
    return decoded


def _decode_file(items: Sequence[Listed], few: Sequence[Listed]) -> Decoded:
    """Decode one file, and measure the utterances in it.

    Args:
        items: The utterances.
        few: Those of speakers with few utterances; they are cut if they are long.
    """
    decoded = Decoded()
    path = items[0].path
    try:
        wave = _read(path, items[0].channel)
    except AudioError as error:
        decoded.skipped += [Skipped(path, str(error).removeprefix(f"{harmless(path)}: "), item.start) for item in items]
        return decoded
    for item in items:
        if item in few and wave.seconds > LONG_SECONDS and item.is_whole and not item.split and not item.text:
            spans = cut_at_pauses(wave)
            for start, end in spans:
                _measure(replace(item, start=start, end=end), wave, decoded)
            decoded.pieces[item] = len(spans), wave.seconds - sum(end - start for start, end in spans)
        else:
            _measure(item, wave, decoded)
    return decoded


def _read(path: Path, channel: str) -> Waveform:
    """Read a recording. Only one that is long is in memory at a time, since it may take a gigabyte."""
    reader = SoundReader(path, channel or None)
    with nullcontext() if 0 < reader.seconds <= UNUSUAL_SECONDS else _one_long_recording:
        return Waveform.decode(reader)


def _measure(item: Listed, wave: Waveform, decoded: Decoded) -> None:
    end = wave.seconds if item.end is None else min(item.end, wave.seconds)
    if item.start >= wave.seconds or (item.end or 0) > wave.seconds + END_TOLERANCE_SECONDS:
        until = "its end" if item.end is None else f"{item.end:g} s"
        decoded.faults.append(
            f"{item.where}: {harmless(item.path.name)} lasts {wave.seconds:.2f} s, but the utterance is from "
            f"{item.start:g} s to {until}"
        )
        return
    if not item.is_whole:
        wave = cut_part(wave, item.start, end)
        if float(wave.samples.abs().max()) < SILENCE_PEAK:
            reason = f"silent from {item.start:g} s to {end:g} s (peak below -80 dBFS)"
            decoded.skipped.append(Skipped(item.path, reason, item.start))
            return
    decoded.seconds[item] = wave.seconds if item.is_whole else round(end - item.start, 6)
    decoded.envelopes[item] = envelope(wave)
