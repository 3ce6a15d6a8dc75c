"""The decoder of sound files that FFmpeg reads, through PyAV."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vczoo.audio.decoder import AudioBlock, Decoder, truncated
from vczoo.audio.wav_container import Container, Part, PartFile
from vczoo.errors import AudioError, AudioWarning
from vczoo.io.files import open_file
from vczoo.io.text import harmless

if TYPE_CHECKING:
    import av

__all__ = ["FFmpegDecoder"]

# FFmpeg's names of the formats that it may read. Playlists and scripts, which open other files, are not among them.
DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,caf,eac3,flac,matroska,mov,mp3,mpeg,mpegts,ogg,tta,voc,w64,wav,wv,webm"
)
DAMAGED_SHARE = 0.01  # packets that may be damaged; joined MP3s have one at each joint
XING = (b"Xing", b"Info", b"VBRI")  # headers that state the length of an MP3
END_SLACK_SECONDS = 0.1  # a stated length may differ from what is decoded by the padding of the encoder


@dataclass
class _Tally:
    """Numbers of packets, and of those that could not be decoded."""

    packets: int = 0
    damaged: int = 0


class _Source:
    """A file for FFmpeg, which seeks before its beginning if it is damaged. PyAV would print a traceback each time."""

    def __init__(self, file: io.BufferedIOBase | io.RawIOBase) -> None:
        self.read, self.tell, self._file = file.read, file.tell, file

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, and return the new position; -1 if there is no such position."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -1


class FFmpegDecoder(Decoder):
    """A file that FFmpeg reads.

    Args:
        path: The sound file.
        container: What `inspect` found.

    Raises:
        AudioError: The file is not audio.
    """

    def __init__(self, path: Path, container: Container) -> None:
        self.path, self.kind, self.parts = path, container.kind, container.parts or (None,)
        with self._open(self.parts[0]) as (source, stream):
            self.sample_rate_hz, self.num_channels = int(stream.rate or 0), int(stream.channels or 0)
            if not self.sample_rate_hz or not self.num_channels:
                raise AudioError(f"{harmless(path)}: its sound stream states no sample rate; export it again")
            seconds = (source.duration or 0) / 1e6
            if stream.duration and stream.time_base:
                seconds = float(stream.duration * stream.time_base)
            self.promised = max(0, round(seconds * self.sample_rate_hz))
            tags = (source.metadata, stream.metadata)
            self.comments = tuple(
                text for values in tags for name, text in values.items() if name.lower() in ("comment", "description")
            )
            # Only these formats state their length instead of estimating it from the bit rate.
            self.stated = self.kind == "flac" or (self.kind == "mp3" and _has_xing(path))

    def blocks(self) -> Iterator[AudioBlock]:
        """Decode the file."""
        count, packets, damaged = 0, 0, 0
        for part in self.parts:
            tally = _Tally()
            for block in self._decode(part, tally):
                count += len(block)
                yield block
            packets, damaged = packets + tally.packets, damaged + tally.damaged
        if damaged > max(3, DAMAGED_SHARE * packets):
            raise AudioError(
                f"{harmless(self.path)}: damaged, {damaged} of {packets} packets cannot be decoded; export it again"
            )
        if self.stated and count < self.promised - END_SLACK_SECONDS * self.sample_rate_hz:
            raise truncated(self.path, f"{count} of {self.promised} samples could be decoded")
        if damaged:
            warnings.warn(
                f"{harmless(self.path)}: {damaged} of {packets} packets were damaged and left out",
                AudioWarning,
                stacklevel=2,
            )

    def _decode(self, part: Part | None, tally: _Tally) -> Iterator[AudioBlock]:
        """Decode one recording of the file, and count its packets."""
        import av

        last_damaged = False
        with self._open(part) as (source, stream):
            resampler, layout = None, stream.layout
            try:
                for packet in source.demux(stream):
                    if packet.is_corrupt:
                        raise truncated(self.path, "its last packet is incomplete")
                    tally.packets += packet.size > 0
                    try:
                        frames = packet.decode()
                    except av.error.InvalidDataError:
                        tally.damaged, last_damaged = tally.damaged + 1, True
                        continue
                    last_damaged = last_damaged and packet.size == 0
                    for frame in frames:
                        key = (frame.format.name, frame.layout.name, frame.sample_rate)
                        if resampler is None or resampler[0] != key:
                            if resampler is not None:
                                yield from self._converted(resampler[1], None)
                            resampler = (key, av.AudioResampler("flt", layout, self.sample_rate_hz))
                        yield from self._converted(resampler[1], frame)
                if resampler is not None:
                    yield from self._converted(resampler[1], None)
            except av.error.FFmpegError as error:
                raise AudioError(
                    f"{harmless(self.path)}: truncated or damaged ({error.strerror}); copy or export it again"
                ) from error
        if last_damaged:
            raise truncated(self.path, "its last packet is incomplete")

    def _converted(self, resampler: av.AudioResampler, frame: av.AudioFrame | None) -> Iterator[AudioBlock]:
        """Blocks at the rate and with the channels of the file; None for the frame flushes what the filter holds."""
        for converted in resampler.resample(frame):
            yield converted.to_ndarray().astype(np.float32).reshape(-1, self.num_channels)

    @contextmanager
    def _open(self, part: Part | None) -> Iterator[tuple[av.container.InputContainer, av.AudioStream]]:
        import av

        # A file object, because FFmpeg would take a name such as "concat:a|b" for a protocol.
        with open_file(self.path) if part is None else PartFile(self.path, part) as file:
            try:
                source = av.open(_Source(file), "r", options={"format_whitelist": DEMUXERS})
            except (av.error.FFmpegError, ValueError) as error:
                raise self._not_audio(getattr(error, "strerror", "") or str(error)) from error
            with source:
                stream = next((stream for stream in source.streams.audio if stream.codec_context), None)
                if stream is None:
                    raise self._not_audio("it has no sound, or in a codec that is not known")
                yield source, stream

    def _not_audio(self, reason: str) -> AudioError:
        return AudioError(
            f"{harmless(self.path)}: not a sound file that libsndfile or FFmpeg can read ({reason}); convert it to "
            "WAV, FLAC, OGG or MP3"
        )


def _has_xing(path: Path) -> bool:
    """Whether an MP3 states its length: a Xing, Info or VBRI header in its first frame."""
    with open_file(path) as file:
        head = file.read(10)
        start = 0
        if head[:3] == b"ID3":
            start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        file.seek(start)
        frame = file.read(256)
    return any(name in frame for name in XING)
