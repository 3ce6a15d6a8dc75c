"""Sound files of many formats, and of faults, written by the tests."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np

__all__ = ["ENCODERS", "encode", "speech_like", "wav"]

# Suffix -> FFmpeg's encoder, as PyAV's wheels have it.
ENCODERS = {
    ".m4a": "aac",
    ".mp4": "aac",
    ".mov": "aac",
    ".3gp": "aac",
    ".aac": "aac",
    ".mka": "aac",
    ".mkv": "aac",
    ".webm": "libopus",
    ".opus": "libopus",
    ".oga": "",  # PyAV has no encoder of Vorbis, libsndfile has
    ".ogg": "",
    ".mp3": "libmp3lame",
    ".wma": "wmav2",
    ".flac": "flac",
}
RATE_HZ = 48000


def speech_like(seconds: float = 2.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """A gliding tone with harmonics that swells and fades, (S,) float32."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * (150 * time + 40 * time**2)
    tone = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 8))
    return (0.15 * tone * (0.6 + 0.4 * np.sin(2 * np.pi * 2 * time))).astype(np.float32)


def encode(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    """Write samples (S,) as mono in the format of the path's suffix."""
    import av
    import soundfile

    codec = ENCODERS[path.suffix]
    if not codec:
        soundfile.write(path, samples, rate_hz, format="OGG")
        return path
    container = {".m4a": "ipod", ".aac": "adts", ".mka": "matroska", ".mkv": "matroska", ".oga": "ogg", ".wma": "asf"}
    with av.open(str(path), "w", format=container.get(path.suffix)) as file:
        stream = file.add_stream(codec, rate=rate_hz)
        stream.codec_context.layout, stream.codec_context.bit_rate = "mono", 96000
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate_hz, Fraction(1, rate_hz), 0
        resampler = av.AudioResampler(stream.codec_context.format or "fltp", "mono", rate_hz, frame_size=1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


def wav(
    samples: np.ndarray,
    rate_hz: int = 16000,
    *,
    length: int | None = None,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A 16-bit mono WAV.

    Args:
        samples: The samples (S,), in [-1, 1].
        rate_hz: Sample rate in Hz.
        length: The length that its data chunk states, in bytes; None states the true one.
        before: Chunks before the sound.
        after: Bytes after the sound.
    """
    sound = (samples * 32767).astype("<i2").tobytes()
    stated = len(sound) if length is None else length
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    body = b"WAVE" + header + before + b"data" + struct.pack("<I", stated) + sound + after
    return b"RIFF" + struct.pack("<I", min(len(body), 2**32 - 1)) + body
