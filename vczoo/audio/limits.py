"""Limits of recordings: sample rate, duration, level, and how much sound fits into memory.

Files meet them in `reader`, and waveforms that a caller brings in `Waveform.check`. Imports no torch.
"""

from __future__ import annotations

import math

from vczoo.errors import AudioError

__all__ = [
    "CLIPPED_PEAK",
    "LARGEST_PEAK",
    "MOST_SAMPLES",
    "SHORTEST_SECONDS",
    "SILENCE_PEAK",
    "check_fits_memory",
    "check_rate",
    "check_speech",
    "longest_seconds",
]

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 2000, 768_000  # below there is no speech; above there are no sound cards
SHORTEST_SECONDS = 0.02  # one analysis window of speech
SILENCE_PEAK = 1e-4  # -80 dBFS: below the noise floor of any recording
LARGEST_PEAK = 16.0  # +24 dBFS; floats beyond are integers that were not scaled
CLIPPED_PEAK = 1.5  # decoders of lossy formats overshoot by less
MOST_SAMPLES = 250_000_000  # of a recording in memory: 1 GB of float32


def check_rate(sample_rate_hz: int) -> None:
    """Refuse a sample rate at which there is no speech, or which no recording has.

    Raises:
        AudioError: The rate is below 2 kHz or above 768 kHz.
    """
    if not LOWEST_RATE_HZ <= sample_rate_hz <= HIGHEST_RATE_HZ:
        below = sample_rate_hz < LOWEST_RATE_HZ
        reason = "such a recording holds no speech" if below else "the header is probably damaged"
        raise AudioError(
            f"its sample rate is {sample_rate_hz} Hz, but {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz were expected; "
            f"{reason}. Record or export it at 16000 Hz or more"
        )


def check_speech(count: int, sample_rate_hz: int, peak: float) -> None:
    """Refuse a recording that is too short or too quiet to hold speech.

    Args:
        count: Number of samples.
        sample_rate_hz: Sample rate in Hz.
        peak: The largest absolute sample.

    Raises:
        AudioError: It is shorter than 20 ms, or silent throughout.
    """
    if count < SHORTEST_SECONDS * sample_rate_hz:
        raise AudioError(
            f"{count} samples at {sample_rate_hz} Hz, shorter than {SHORTEST_SECONDS * 1000:g} ms; "
            "use a longer recording"
        )
    if peak < SILENCE_PEAK:
        raise AudioError("silent throughout (peak below -80 dBFS); check the recording")


def longest_seconds(sample_rate_hz: int) -> float:
    """Seconds of sound at this rate that may be in memory at once."""
    return MOST_SAMPLES / sample_rate_hz


def check_fits_memory(seconds: float, sample_rate_hz: int, advice: str = "cut it into shorter files") -> None:
    """Refuse a recording that is too long to be held in memory as a whole.

    Args:
        seconds: Its duration, or what of it is known.
        sample_rate_hz: Sample rate at which it is held.
        advice: What to do instead.

    Raises:
        AudioError: It is longer than `longest_seconds`.
    """
    longest = longest_seconds(sample_rate_hz)
    if seconds > longest:
        hours, most = (f"{each / 3600:.1f} hours" if math.isfinite(each) else "endless" for each in (seconds, longest))
        # What is decoded is refused as soon as it is too long, so its whole length is unknown.
        rest = f"more than {most} at {sample_rate_hz} Hz"
        length = rest if hours == most else f"{hours} at {sample_rate_hz} Hz, but at most {most}"
        gigabytes = f"{4 * MOST_SAMPLES / 1e9:g} GB"
        raise AudioError(f"too long to be read as a whole: {length}, which take {gigabytes}; {advice}")
