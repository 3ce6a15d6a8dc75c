"""Recordings that are made to take memory or time forever, or that hold no speech, are refused before they do."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.support.sound_files import encode, speech_like, wav
from vczoo.audio import limits
from vczoo.audio.decoder import BLOCK_SECONDS, BLOCK_VALUES
from vczoo.audio.decoders import open_sound
from vczoo.audio.reader import SoundReader, read_mark
from vczoo.audio.waveform import Waveform
from vczoo.errors import AudioError

SECOND = speech_like(1.0, 16000)


def sparse(path: Path, size: int, head: bytes) -> Path:
    """A file of zeros after its head that takes no disk space."""
    path.write_bytes(head)
    os.truncate(path, size)
    return path


@pytest.mark.parametrize("rate_hz", [1, 500, 1999, 768_001, 4_000_000_000])
def test_a_rate_without_speech_is_refused(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SECOND, rate_hz % 2**31))
    with pytest.raises(AudioError, match=r"a\.wav: .*(sample rate is \d+ Hz|not a sound file)"):
        SoundReader(path)


@pytest.mark.parametrize("rate_hz", [1, 1_000_000])
def test_a_waveform_of_such_a_rate_is_refused(rate_hz: int) -> None:
    with pytest.raises(AudioError, match="sample rate"):
        Waveform.of(torch.ones(60_000), rate_hz).check()


def test_blocks_are_bounded_in_seconds_and_values(tmp_path: Path) -> None:
    slow, wide = tmp_path / "slow.wav", tmp_path / "wide.wav"
    soundfile.write(slow, speech_like(60.0, 2000), 2000)
    soundfile.write(wide, np.full((3000, 1000), 0.1, np.float32), 16000)
    assert max(map(len, open_sound(slow).blocks())) == BLOCK_SECONDS * 2000
    assert max(block.size for block in open_sound(wide).blocks()) <= BLOCK_VALUES


def flac_that_states(path: Path, samples: int) -> Path:
    soundfile.write(path, SECOND, 16000)
    content = bytearray(path.read_bytes())
    content[21] = content[21] & 0xF0 | samples >> 32
    content[22:26] = struct.pack(">I", samples & 0xFFFFFFFF)
    path.write_bytes(content)
    return path


def test_a_long_recording_is_refused_by_its_header(tmp_path: Path) -> None:
    path = flac_that_states(tmp_path / "a.flac", 20 * 3600 * 16000)
    with pytest.raises(AudioError, match=r"a\.flac: too long to be read as a whole: 20\.0 hours at 16000 Hz"):
        Waveform.read(path)
    assert SoundReader(path).seconds == 20 * 3600  # which is still converted block by block


@pytest.mark.parametrize("suffix", [".flac", ".aac"])
def test_a_long_recording_is_refused_while_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Of one that states no length, no more is decoded than fits."""
    path = tmp_path / f"a{suffix}"
    if suffix == ".flac":
        flac_that_states(path, 0)
    else:
        encode(path, SECOND, 16000)
        monkeypatch.setattr(SoundReader, "seconds", 0.0)
    monkeypatch.setattr(limits, "MOST_SAMPLES", 5000)
    with pytest.raises(AudioError, match="too long to be read as a whole"):
        Waveform.read(path)
    monkeypatch.setattr(limits, "MOST_SAMPLES", 20_000)
    assert Waveform.read(path).seconds >= 1.0
    with pytest.raises(AudioError, match=r"too long to be read as a whole: more than 0\.0 hours at 48000 Hz"):
        Waveform.read(path, 48000)


def test_a_sparse_wav_is_refused_without_being_read(tmp_path: Path) -> None:
    size = 3_000_000_000
    path = sparse(tmp_path / "a.wav", size, wav(SECOND[:0], 44100, length=size - 44))
    tracemalloc.start()
    with pytest.raises(AudioError, match=r"too long to be read as a whole: 9\.4 hours"):
        Waveform.read(path)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.wav", b"RIFF\0\0\0\x0fWAVE"),
        ("a.aiff", b"FORM\0\0\0\x0fAIFF"),
        ("a.caf", b"caff\0\1\0\0"),
        ("a.m4a", b"\0\0\0\x08ftyp"),
        (
            "a.w64",
            b"riff" + b"\x18" + bytes(19) + b"wave" + bytes(12) + (b"junk" + bytes(12) + b"\x18" + bytes(7)) * 2000,
        ),
    ],
)
def test_a_container_of_endless_chunks_is_refused(tmp_path: Path, name: str, head: bytes) -> None:
    if name == "a.m4a":
        head *= 100_002
    path = sparse(tmp_path / name, 3_000_000_000, head)
    for read in (SoundReader, read_mark):
        with pytest.raises(AudioError, match=r"more than \d+ chunks"):
            read(path)


def test_joined_recordings_are_bounded_in_number(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SECOND[:4]) * 1002)
    with pytest.raises(AudioError, match="more than 1000 chunks"):
        SoundReader(path)


@pytest.mark.parametrize("format_", ["SDS", "MAT5", "MAT4", "PVF", "IRCAM", "HTK", "SVX", "AVR", "PAF", "MPC2K", "WVE"])
@pytest.mark.parametrize("suffix", [".wav", ".raw"])
def test_a_rare_format_is_refused_whatever_its_suffix(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], format_: str, suffix: str
) -> None:
    path = tmp_path / "a.sds"
    soundfile.write(path, SECOND, 8000 if format_ == "WVE" else 16000, format=format_)
    path = path.rename(tmp_path / f"a{suffix}")
    with pytest.raises(AudioError, match="not a sound file that libsndfile or FFmpeg can read"):
        SoundReader(path)
    assert capfd.readouterr() == ("", "")


def test_nist_sphere_is_read_under_the_name_of_a_wav(tmp_path: Path) -> None:
    path = tmp_path / "a.nist"
    soundfile.write(path, SECOND, 16000, format="NIST", subtype="PCM_16")
    assert Waveform.read(path.rename(tmp_path / "a.wav")).samples.shape == (1, 16000)


def test_the_suffix_raw_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(wav(SECOND))
    assert Waveform.read(path).samples.shape == (1, 16000)
    path.write_bytes(wav(SECOND)[44:])
    with pytest.raises(AudioError, match=r"a\.raw: not a sound file"):
        Waveform.read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_a_pipe_or_a_device_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    (tmp_path / "b.wav").symlink_to("/dev/zero")
    for name in ("a.wav", "b.wav"):
        with pytest.raises(AudioError, match=rf"{name}: a pipe or a device"):
            SoundReader(tmp_path / name)


def test_a_missing_file_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"none\.wav: no such file; check the path$"):
        SoundReader(tmp_path / "none.wav")
    with pytest.raises(AudioError, match=r"cannot be read \(Not a directory\); check the path$"):
        SoundReader(Path(__file__) / "none.wav")


@pytest.mark.parametrize("missing", [False, True])
def test_memory_that_runs_out_is_an_audio_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SECOND))
    reader = SoundReader(path)

    def fail() -> None:
        raise FileNotFoundError(2, "No such file or directory") if missing else MemoryError

    monkeypatch.setattr(reader._decoder, "blocks", fail)
    with pytest.raises(AudioError, match=r"cannot be read \((No such file or directory|MemoryError)\)"):
        reader.whole()


def test_a_waveform_that_would_grow_beyond_memory_is_not_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_SAMPLES", 100_000)
    with pytest.raises(AudioError, match="too long to be read as a whole"):
        Waveform.of(torch.zeros(50_000), 16000).resample(48000)


@pytest.mark.parametrize(
    ("samples", "fault"),
    [
        ([float("nan")] + [0.1] * 999, "1 of 1000 samples are NaN"),
        ([float("inf")] + [0.1] * 999, "1 of 1000 samples are NaN"),
        ([], "shorter than 20 ms"),
        ([0.5], "shorter than 20 ms"),
        ([0.0] * 1000, "silent throughout"),
    ],
)
def test_a_waveform_meets_the_rules_of_files(samples: list[float], fault: str) -> None:
    wave = Waveform.of(torch.tensor(samples), 16000)
    with pytest.raises(AudioError, match=fault):
        wave.check(speech=True)


def test_what_lies_behind_the_rate_change_of_a_stream_is_not_lost(tmp_path: Path) -> None:
    """Filters that change the rate hold some samples back, which have to be flushed."""
    first, second = (encode(tmp_path / f"{rate}.aac", speech_like(1.0, rate), rate) for rate in (48000, 24000))
    counts = [len(SoundReader(path).whole()) for path in (first, second)]
    (tmp_path / "both.aac").write_bytes(first.read_bytes() + second.read_bytes())
    (tmp_path / "back.aac").write_bytes((first.read_bytes() + second.read_bytes()) * 2)
    assert len(SoundReader(tmp_path / "both.aac").whole()) == pytest.approx(counts[0] + 2 * counts[1], abs=2)
    assert len(SoundReader(tmp_path / "back.aac").whole()) == pytest.approx(2 * counts[0] + 4 * counts[1], abs=4)
