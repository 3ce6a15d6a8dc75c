"""Reading the samples of utterances, which may be parts of longer files or one channel of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Lock

from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Utterance

__all__ = ["UtteranceReader", "cut_part", "read_recording", "write_part"]

KEPT_SECONDS = 3600.0  # of decoded files; an hour at 16 kHz takes 230 MB


class UtteranceReader:
    """Reader of utterances at one sample rate. It keeps long files decoded, because their parts are read one by one.

    Args:
        sample_rate_hz: Sample rate to resample to. None keeps each file's.
    """

    def __init__(self, sample_rate_hz: int | None = None) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._files: dict[tuple[Path, str], Waveform] = {}  # the one used last comes last
        self._lock = Lock()

    def read(self, utterance: Utterance) -> Waveform:
        """Read the samples of an utterance, (1, S).

        Raises:
            AudioError: The file cannot be read any more.
        """
        key = utterance.path, utterance.channel
        with self._lock:
            wave = self._files.pop(key, None)
        if wave is None:
            wave = read_recording(*key, self.sample_rate_hz)
        if not utterance.is_part:
            return wave
        with self._lock:
            self._files[key] = wave
            while len(self._files) > 1 and sum(file.seconds for file in self._files.values()) > KEPT_SECONDS:
                del self._files[next(iter(self._files))]
        return cut_part(wave, utterance.first_second, utterance.first_second + utterance.seconds)


def cut_part(wave: Waveform, start: float, end: float | None = None) -> Waveform:
    """The part of a recording between two times in seconds, (1, S); up to its end if `end` is None."""
    first = round(start * wave.sample_rate_hz)
    last = None if end is None else first + round((end - start) * wave.sample_rate_hz)
    return Waveform.of(wave.samples[:, first:last], wave.sample_rate_hz)


def write_part(wave: Waveform, path: Path, start: float, end: float | None, folder: Path) -> Path:
    """Write a part of a recording as a WAV file below `folder`, for uses that need files. An existing file is kept.

    Args:
        wave: The recording, or one channel of it.
        path: The file that it was read from.
        start: Where the part begins, in seconds.
        end: Where it ends, in seconds; None at the end of the file.
        folder: The folder to write to.
    """
    part = cut_part(wave, start, end)
    digest = hashlib.sha256(part.samples.numpy().tobytes()).hexdigest()[:8]
    file = folder / f"{path.stem}-{start:.2f}-{start + part.seconds:.2f}-{digest}.wav"
    return file if file.exists() else part.save(file)


def read_recording(path: Path, channel: str = "", sample_rate_hz: int | None = None) -> Waveform:
    """Read a whole file, or one channel of it, as (1, S).

    Raises:
        AudioError: The file cannot be read, or has no such channel.
    """
    return Waveform.read(path, sample_rate_hz, channel or None)
