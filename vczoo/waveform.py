"""`Waveform`: recordings in memory, (B, S) in [-1, 1]; the only place of audio I/O.

Paths go in and waveforms come out; waveforms go in and files come out. Formats are those of libsndfile
(WAV, FLAC, OGG, MP3), any rate and channel count; channels are averaged.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from vczoo.errors import AudioError
from vczoo.files import write_beside

__all__ = ["AUDIO_SUFFIXES", "Waveform"]

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
SHORTEST_SECONDS = 0.02  # one analysis window of speech; less holds no frame of anything
SILENCE_PEAK = 1e-4  # -80 dBFS: below the noise floor of any recording
BLOCK_SAMPLES = 65536
_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}


@dataclass(frozen=True)
class Waveform:
    """A batch of mono recordings at one sample rate.

    Attributes:
        samples: (B, S) float32 in [-1, 1]; past an item's length there is silence.
        sample_rate_hz: samples a second.
        lengths: (B,) int64, valid samples of each item.
    """

    samples: Tensor
    sample_rate_hz: int
    lengths: Tensor

    @classmethod
    def of(cls, samples: Tensor, sample_rate_hz: int) -> Waveform:
        """Wrap `samples` of shape (S,) or (B, S), all of them valid.

        Raises:
            AudioError: for any other shape.
        """
        if samples.ndim == 1:
            samples = samples[None]
        if samples.ndim != 2:
            raise AudioError(f"a waveform has shape (S,) or (B, S), batch first and mono, got {tuple(samples.shape)}")
        lengths = torch.full((samples.shape[0],), samples.shape[1], dtype=torch.int64, device=samples.device)
        return cls(samples.float(), int(sample_rate_hz), lengths)

    @classmethod
    def batch(cls, waves: Sequence[Waveform]) -> Waveform:
        """Stack waveforms of one rate, the shorter ones followed by silence.

        Raises:
            AudioError: when there is none, or when the rates differ.
        """
        rates = {wave.sample_rate_hz for wave in waves}
        if len(rates) != 1:
            raise AudioError(f"a batch needs waveforms of one sample rate, got {sorted(rates) or 'no waveform'}")
        lengths = torch.cat([wave.lengths for wave in waves])
        longest = int(lengths.max())
        rows = [
            torch.nn.functional.pad(wave.samples[:, :longest], (0, max(0, longest - wave.samples.shape[1])))
            for wave in waves
        ]
        return cls(torch.cat(rows), rates.pop(), lengths)

    @classmethod
    def read(cls, path: str | os.PathLike[str], sample_rate_hz: int | None = None) -> Waveform:
        """Read one recording, averaged to mono and, where `sample_rate_hz` is given, resampled to it: (1, S).

        Raises:
            AudioError: the file is absent, is not audio, is truncated, is shorter than 20 ms, holds NaN or
                infinity, or is silent throughout.
        """
        path = Path(path)
        samples, rate = _decode(path)
        mono = samples.mean(axis=1)
        if not np.isfinite(mono).all():
            bad = int((~np.isfinite(mono)).sum())
            raise AudioError(f"{path}: {bad} of {mono.size} samples are NaN or infinite; export it again")
        if mono.size < SHORTEST_SECONDS * rate:
            raise AudioError(
                f"{path}: {mono.size} samples at {rate} Hz, shorter than {SHORTEST_SECONDS * 1000:g} ms; "
                "it holds no speech"
            )
        if np.abs(mono).max() < SILENCE_PEAK:
            raise AudioError(f"{path}: silent throughout (peak below -80 dBFS); check the recording")
        wave = cls.of(torch.from_numpy(np.clip(mono, -1.0, 1.0)), rate)
        return wave if sample_rate_hz is None else wave.resample(sample_rate_hz)

    def __len__(self) -> int:
        return self.samples.shape[0]

    def __getitem__(self, index: int) -> Waveform:
        """One item, (1, length), without its padding."""
        length = int(self.lengths[index])
        return Waveform.of(self.samples[index, :length], self.sample_rate_hz)

    @property
    def seconds(self) -> float:
        """Valid seconds, all items together."""
        return float(self.lengths.sum()) / self.sample_rate_hz

    def to(self, device: torch.device | str) -> Waveform:
        """The same waveform on another device."""
        return Waveform(self.samples.to(device), self.sample_rate_hz, self.lengths.to(device))

    def resample(self, sample_rate_hz: int) -> Waveform:
        """Resample with a windowed sinc (torchaudio); each item keeps its duration.

        Raises:
            AudioError: for a rate that is not a positive whole number.
        """
        if sample_rate_hz < 1 or sample_rate_hz != int(sample_rate_hz):
            raise AudioError(f"a sample rate is a positive whole number of Hz, got {sample_rate_hz!r}")
        if sample_rate_hz == self.sample_rate_hz:
            return self
        from torchaudio.functional import resample

        samples = resample(self.samples, self.sample_rate_hz, sample_rate_hz)
        lengths = torch.clamp(
            (self.lengths * sample_rate_hz + self.sample_rate_hz - 1) // self.sample_rate_hz,
            max=samples.shape[1],
        )
        # The filter rings on past an item's end; there is silence there, as when the item is resampled alone.
        valid = torch.arange(samples.shape[1], device=samples.device) < lengths[:, None]
        return Waveform(samples * valid, sample_rate_hz, lengths)

    def trim(self, below_peak_db: float = 40.0, frame_seconds: float = 0.02) -> Waveform:
        """Cut silence from both ends of each item: frames whose RMS is `below_peak_db` under the loudest frame."""
        frame = max(1, round(frame_seconds * self.sample_rate_hz))
        items = []
        for index in range(len(self)):
            samples = self[index].samples[0]
            count = -(-samples.numel() // frame)
            padded = torch.nn.functional.pad(samples, (0, count * frame - samples.numel()))
            rms = padded.view(count, frame).square().mean(dim=1).sqrt()
            loud = torch.nonzero(rms >= rms.max() * 10 ** (-below_peak_db / 20)).flatten()
            start, stop = int(loud[0]) * frame, min((int(loud[-1]) + 1) * frame, samples.numel())
            items.append(Waveform.of(samples[start:stop], self.sample_rate_hz))
        return Waveform.batch(items)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the one item to a file, 16-bit, in the format of its suffix; return the path.

        The file appears whole or not at all. Samples outside [-1, 1] are clipped.

        Raises:
            AudioError: the batch holds several items, the suffix is not a known format, the path exists and
                `overwrite` is false, or the disk refuses.
        """
        path = Path(path)
        if len(self) != 1:
            raise AudioError(f"{path}: one file holds one waveform, this batch has {len(self)}; save wave[i]")
        file_format = _FORMATS.get(path.suffix.lower())
        if file_format is None:
            raise AudioError(f"{path}: cannot write {path.suffix or 'a file without suffix'}; use {AUDIO_SUFFIXES}")
        samples = self[0].samples[0].detach().clamp(-1.0, 1.0).cpu().numpy()
        content = io.BytesIO()  # not the file: libsndfile does not tell when its last block meets a full disk
        try:
            with soundfile.SoundFile(content, "w", self.sample_rate_hz, 1, format=file_format) as file:
                # In blocks: libsndfile's Vorbis encoder overflows the stack on a minute at once.
                for start in range(0, len(samples), BLOCK_SAMPLES):
                    file.write(samples[start : start + BLOCK_SAMPLES])
            with write_beside(path, overwrite=overwrite) as beside:
                beside.write_bytes(content.getbuffer())
        except FileExistsError as error:
            raise AudioError(f"{path} exists; choose another name, or overwrite it on purpose") from error
        except (OSError, soundfile.SoundFileError) as error:
            raise AudioError(f"{path}: cannot be written ({error}); nothing was left behind") from error
        return path


def _decode(path: Path) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float32]], int]:
    """Read the whole file as (S, channels) float32, and its rate."""
    if path.is_dir():
        raise AudioError(f"{path}: a folder; a recording was expected")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise AudioError(f"{path}: no such file ({error.strerror}); check the path") from error
    if size == 0:
        raise AudioError(f"{path}: the file is empty (0 bytes)")
    try:
        if promised := _truncation(path, size):
            raise AudioError(f"{path}: truncated, {promised}; copy or export it again")
        # As bytes, since soundfile cannot encode a name that is not UTF-8; Windows has no such names.
        with soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path)) as file:
            expected, rate = file.frames, file.samplerate
            # In blocks: a damaged header may promise more than memory holds.
            blocks = [file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)]
            while len(blocks[-1]) == BLOCK_SAMPLES:
                blocks.append(file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True))
            samples = np.concatenate(blocks)
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        raise AudioError(
            f"{path}: not audio that libsndfile can read ({error}); WAV, FLAC, OGG and MP3 can be read"
        ) from error
    # A cut FLAC decodes to fewer frames than its header promises. MP3 headers only estimate, so they pass.
    if path.suffix.lower() != ".mp3" and 0 < len(samples) < expected < 2**62:
        raise AudioError(
            f"{path}: truncated, {len(samples)} of {expected} samples could be decoded; copy or export it again"
        )
    return samples, rate


def _truncation(path: Path, size: int) -> str:
    """What a WAV or OGG container promises and the file does not hold, or nothing.

    libsndfile reads what is there and says nothing, so the containers are looked at here.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            position = 12
            while len(header := file.read(8)) == 8:
                name, length = struct.unpack("<4sI", header)
                if name == b"data":
                    there = size - position - 8
                    streamed = length in (0, 0xFFFFFFFF)  # a pipe's header: the length was not known
                    return "" if streamed or there >= length else f"{there} of {length} bytes of sound are there"
                position += 8 + length + length % 2
                file.seek(position)
        elif head[:4] == b"OggS":
            file.seek(max(0, size - 65307 - 27))  # the largest possible page
            tail = file.read()
            page = tail[max(0, tail.rfind(b"OggS")) :]
            body = sum(page[27 : 27 + page[26]]) if len(page) > 26 else 0
            if len(page) < 27 or len(page) < 27 + page[26] + body:
                return "its last page is cut"
            if not page[5] & 4:
                return "its last page is not marked as the end of the stream"
    return ""
