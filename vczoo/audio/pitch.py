"""Pitch tracking: F0 and voicing of a waveform at the rate of the acoustic frames, by WORLD's DIO or a plugin.

DIO searches for the fundamental itself. A telephone does not transmit it, and mains hum masks it; DIO then follows a
harmonic, the hum, or nothing. But the envelope of the signal above 300 Hz still beats at the fundamental frequency. So
DIO also runs on that envelope, and if the two results contradict each other, the envelope's is used.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError

__all__ = [
    "MOST_SEMITONES",
    "PITCH_CENTRE_LOG_HZ",
    "PITCH_SCALE",
    "TRACKER",
    "Dio",
    "PitchTracker",
    "log_ratio",
    "mean_log_hz",
    "pitch_frames",
    "pitch_shift",
    "shift_pitch",
]

# Part of the cache key of contours; change it when they change.
TRACKER = "DIO, and DIO of the envelope, 60 to 600 or 40 to 1100 Hz"
COMMON_HZ = 60.0, 600.0  # from a low male voice to a child's
WHOLE_HZ = 40.0, 1100.0  # from a creak to a cry
OUTSIDE = 0.5  # share of the voiced frames outside the common range above which the whole range is used
CARRIED_HZ = 300.0  # lowest frequency that telephones transmit; hum is below it
FLAT = 1e-3  # an envelope that deviates less than this, relative to the signal, does not beat
CONTRADICTION = float(np.log(1.35))  # difference of log-F0; less than the distance to the next harmonic
AGREED = 0.25  # share of the frames voiced in both; if at least this share agrees, DIO is right
MORE_VOICED = 1.5  # the envelope is used if it has this many times as many voiced frames
FEWEST_FRAMES = 5  # fewest frames for a comparison
MOST_SEMITONES = 24.0  # from a low male voice to a child's
PITCH_CENTRE_LOG_HZ = float(np.log(200.0))
PITCH_SCALE = 0.5  # one unit is half an e-fold: a voice's contour then spans about -1 to 1


class PitchTracker(ABC):
    """Tracks the fundamental frequency (F0) of a recording.

    Attributes:
        version: Part of the key under which training caches contours. Change it when the contours change, and let it
            name the options that they depend on.
    """

    version: str = ""

    @property
    def cache_key(self) -> str:
        """Name and version of the tracker, by which cached contours are found."""
        return f"{type(self).__module__}.{type(self).__qualname__} {self.version}"

    @abstractmethod
    def track(self, samples: NDArray[np.float64], sample_rate_hz: int, hop_seconds: float) -> NDArray[np.float64]:
        """Track F0: samples (S,) -> (T,) in Hz, 40 to 1,100, and 0 where unvoiced.

        Args:
            samples: One recording, at least one sample.
            sample_rate_hz: Its sample rate, which may be any.
            hop_seconds: Time between two frames. Frame t is at t * `hop_seconds`; frames past the end may be missing
                or too many.
        """


class Dio(PitchTracker):
    """WORLD's DIO and StoneMask, on the recording and on the envelope of what telephones transmit.

    Source: WORLD (Morise et al. 2016) through pyworld. DIO runs at 100 times real time on one core. Harvest runs at 4
    times real time and makes more voicing errors.
    """

    @property
    def cache_key(self) -> str:
        """The key of contours since the first version."""
        return TRACKER

    def track(self, samples: NDArray[np.float64], sample_rate_hz: int, hop_seconds: float) -> NDArray[np.float64]:
        """Track F0: samples (S,) -> (T,) in Hz, 0 where unvoiced."""
        return _track(samples, sample_rate_hz, 1000.0 * hop_seconds)


def pitch_frames(wave: Waveform, spec: MelSpec | FrameSpec, tracker: PitchTracker | None = None) -> Frames:
    """Track the pitch of a waveform: (B, S) -> (B, spec.num_frames(S), 2).

    The channels are scaled log-F0 (0 in unvoiced frames) and voicing (0 or 1).

    Args:
        wave: The recordings (B, S), at any sample rate.
        spec: Format of the frames with which the pitch frames are aligned.
        tracker: The pitch tracker; None means `Dio`.
    """
    tracker = tracker or Dio()
    hop_seconds = spec.hop_length / spec.sample_rate_hz
    items = []
    for index in range(len(wave)):
        samples = wave[index].samples[0].detach().cpu().double().numpy()
        count = spec.num_frames(-(-samples.size * spec.sample_rate_hz // wave.sample_rate_hz))
        skipped = round(spec.first_frame * hop_seconds * wave.sample_rate_hz)
        samples = np.pad(samples[skipped:], (0, max(0, skipped + 1 - samples.size)))
        f0_hz = tracker.track(samples, wave.sample_rate_hz, hop_seconds)
        f0_hz = np.pad(f0_hz[:count], (0, max(0, count - f0_hz.size)))
        voiced = f0_hz > 0
        scaled = np.where(voiced, (np.log(np.where(voiced, f0_hz, 1.0)) - PITCH_CENTRE_LOG_HZ) / PITCH_SCALE, 0.0)
        items.append(Frames.of(torch.from_numpy(np.stack([scaled, voiced], axis=1).astype(np.float32))))
    return Frames.batch(items).to(wave.samples.device)


def _track(samples: NDArray[np.float64], rate_hz: int, period_ms: float) -> NDArray[np.float64]:
    """Track F0: samples (S,) -> (T,) in Hz, 0 where unvoiced.

    The range of most voices comes first, because DIO misses more voiced frames the wider its range is. The whole range
    is used if most of what it finds lies outside.
    """
    wide_hz, _ = _rough(samples, rate_hz, period_ms, WHOLE_HZ)
    voiced = wide_hz > 0
    outside = voiced & ((wide_hz < COMMON_HZ[0]) | (wide_hz > COMMON_HZ[1]))
    whole = outside.sum() > max(FEWEST_FRAMES, OUTSIDE * voiced.sum())
    return _track_within(samples, rate_hz, period_ms, WHOLE_HZ if whole else COMMON_HZ)


def _rough(
    samples: NDArray[np.float64], rate_hz: int, period_ms: float, range_hz: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """DIO's estimate of F0 and its times."""
    import pyworld

    f0_hz, times = pyworld.dio(samples, rate_hz, f0_floor=range_hz[0], f0_ceil=range_hz[1], frame_period=period_ms)
    return f0_hz, times


def _track_within(
    samples: NDArray[np.float64], rate_hz: int, period_ms: float, range_hz: tuple[float, float]
) -> NDArray[np.float64]:
    """Track F0 in a range, in the samples or in their envelope."""
    import pyworld

    spectrum = np.fft.rfft(samples)
    spectrum[: math.ceil(CARRIED_HZ * samples.size / rate_hz)] = 0.0
    # Half a spectrum is that of the analytic signal, so that the envelope of a pure tone is flat.
    envelope = np.abs(np.fft.ifft(spectrum, samples.size))
    envelope -= envelope.mean()
    f0_hz, times = _rough(samples, rate_hz, period_ms, range_hz)
    if envelope.std() > FLAT * samples.std():
        beats_hz, _ = _rough(envelope, rate_hz, period_ms, range_hz)
        both = (f0_hz > 0) & (beats_hz > 0)
        ratios = np.abs(np.log(f0_hz[both] / beats_hz[both]))
        # Speech whose fundamental is missing has a harmonic between 300 and 600 Hz, so DIO would find that one.
        low = both.sum() >= FEWEST_FRAMES and np.median(f0_hz[both]) < 2 * CARRIED_HZ
        apart = np.quantile(ratios, AGREED) if low else 0.0
        if apart > CONTRADICTION or (beats_hz > 0).sum() > MORE_VOICED * (f0_hz > 0).sum() + FEWEST_FRAMES:
            samples, f0_hz = envelope, beats_hz
    refined_hz: NDArray[np.float64] = pyworld.stonemask(samples, f0_hz, times, rate_hz)
    return refined_hz


def mean_log_hz(pitch: Frames) -> Tensor:
    """Mean natural log of F0 in Hz over all voiced frames of a batch: (1,). It is NaN if no frame is voiced."""
    voiced = (pitch.values[..., 1:] > 0) & pitch.mask()
    return pitch.values[..., :1][voiced].mean().reshape(1) * PITCH_SCALE + PITCH_CENTRE_LOG_HZ


def log_ratio(semitones: float) -> float:
    """Convert semitones to the natural logarithm of a frequency ratio.

    Raises:
        ContractError: `semitones` is NaN, infinite, or more than `MOST_SEMITONES` up or down.
    """
    if not math.isfinite(semitones):
        raise ContractError(
            f"semitones must be a finite number (12 is an octave up, -12 an octave down), got {semitones}"
        )
    if abs(semitones) > MOST_SEMITONES:
        raise ContractError(
            f"semitones must be -{MOST_SEMITONES:g} to {MOST_SEMITONES:g}, two octaves, which is from a low male voice "
            f"to a child's; the result of {semitones:g} would not be speech"
        )
    return semitones / 12 * math.log(2)


def pitch_shift(voices: Sequence[tuple[Mapping[str, Tensor], float]], mean: Tensor | float) -> float:
    """Log frequency ratio that moves the mean F0 of a recording to that of a voice. It is NaN if either has no pitch.

    Args:
        voices: Each voice's tensors, including `pitch`, with the voice's share of the mix.
        mean: Mean natural log of the recording's F0 in Hz.
    """
    return sum(share * float(voice["pitch"]) for voice, share in voices) - float(mean)


def shift_pitch(pitch: Frames, log_ratio: Tensor | float) -> Frames:
    """Multiply F0 by exp(log_ratio) in the voiced frames."""
    log_f0, voiced = pitch.values[..., :1], pitch.values[..., 1:]
    return pitch.with_values(torch.cat([log_f0 + voiced * (log_ratio / PITCH_SCALE), voiced], dim=2))
