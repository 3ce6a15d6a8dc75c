"""Decoders of sound files: libsndfile, and FFmpeg (`ffmpeg_decoder`) for what libsndfile cannot read to its end.

libsndfile reads uncompressed containers, FLAC and OGG Vorbis fastest. FFmpeg reads everything else: MP3, Opus, AAC and
the containers of phones and browsers, WMA, AMR, and files that hold several recordings. Importing it takes a third of a
second, so it is imported only for such a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile

from vczoo.audio.containers import inspect
from vczoo.audio.decoder import BLOCK_SAMPLES, BLOCK_SECONDS, BLOCK_VALUES, AudioBlock, Decoder, truncated
from vczoo.audio.ffmpeg_decoder import FFmpegDecoder
from vczoo.audio.wav_container import Container, Part, PartFile
from vczoo.errors import AudioError
from vczoo.io.files import open_file
from vczoo.io.text import harmless

__all__ = ["open_sound"]

# What libsndfile is asked to read. Its readers of rare formats print to the terminal, or take any bytes for sound.
SNDFILE_KINDS = ("wav", "aiff", "au", "caf", "w64", "flac", "ogg", "nist")
SNDFILE_FORMATS = ("WAV", "WAVEX", "RF64", "AIFF", "AU", "CAF", "W64", "FLAC", "OGG", "NIST")


def open_sound(path: Path) -> Decoder:
    """Open a sound file with the decoder that reads it to its end.

    Raises:
        AudioError: The file is not audio, or is truncated.
        OSError: The file cannot be read.
    """
    container = inspect(path)
    if container.truncated:
        raise truncated(path, container.truncated)
    if container.kind in SNDFILE_KINDS and not container.joined:
        try:
            return SndfileDecoder(path, container)
        except (soundfile.SoundFileError, RuntimeError):
            pass
    return FFmpegDecoder(path, container)


class SndfileDecoder(Decoder):
    """A file that libsndfile reads.

    Args:
        path: The sound file.
        container: What `inspect` found.

    Raises:
        AudioError: The file holds several recordings that do not fit together.
        soundfile.SoundFileError, RuntimeError: libsndfile cannot read it.
    """

    def __init__(self, path: Path, container: Container) -> None:
        self.path, self.parts = path, container.parts
        opened = []
        for part in self.parts or (None,):
            with self._open(part) as file:
                opened.append((int(file.samplerate), int(file.channels), int(file.frames)))
                if file.comment:
                    self.comments = (*self.comments, file.comment)
        self.sample_rate_hz, self.num_channels, _ = opened[0]
        if len({entry[:2] for entry in opened}) > 1:
            raise AudioError(
                f"{harmless(path)}: holds {len(opened)} recordings with different sample rates or channels; "
                "split it into files"
            )
        self.promised = sum(frames for *_, frames in opened)
        # In blocks: a damaged header may promise more than memory holds.
        self._block = max(1, min(BLOCK_SAMPLES, BLOCK_SECONDS * self.sample_rate_hz, BLOCK_VALUES // self.num_channels))

    def blocks(self) -> Iterator[AudioBlock]:
        """Decode the file."""
        count = 0
        try:
            for part in self.parts or (None,):
                with self._open(part) as file:
                    while True:
                        block = file.read(self._block, dtype="float32", always_2d=True)
                        count += len(block)
                        yield block
                        if len(block) < self._block:
                            break
        except (soundfile.SoundFileError, RuntimeError, OSError) as error:
            raise AudioError(
                f"{harmless(self.path)}: truncated or damaged ({error}); copy or export it again"
            ) from error
        if 0 < count < self.promised < 2**62:
            raise truncated(self.path, f"{count} of {self.promised} samples could be decoded")

    @contextmanager
    def _open(self, part: Part | None) -> Iterator[soundfile.SoundFile]:
        # By its descriptor, because soundfile cannot encode names that are not UTF-8 and decides by the suffix .raw.
        # libsndfile on Windows does not know Python's descriptors.
        with open_file(self.path) if part is None else PartFile(self.path, part) as source:
            handle: Any = source.fileno() if part is None and os.name != "nt" else source
            with soundfile.SoundFile(handle, closefd=False) as file:
                if file.format not in SNDFILE_FORMATS:
                    raise soundfile.SoundFileRuntimeError(f"{file.format} is not read")
                yield file
