"""Every format is read to its end, whatever its header says; what is truncated is refused."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.sound_files import ENCODERS, RATE_HZ, encode, speech_like, wav
from vczoo.audio.ffmpeg_decoder import _Source
from vczoo.audio.reader import AUDIO_SUFFIXES, SoundReader
from vczoo.audio.wav_container import Part, PartFile
from vczoo.errors import AudioError

SECOND = speech_like(1.0, 16000)
LIST = b"LIST" + struct.pack("<I", 17) + b"INFOISFT" + struct.pack("<I", 5) + b"abcde"  # 17 bytes, so unpadded
ENCODED = sorted(ENCODERS)


def read(path: Path) -> np.ndarray:
    return np.concatenate(list(SoundReader(path)))


def rounded(samples: np.ndarray) -> np.ndarray:
    """What 16 bits keep."""
    return (samples * 32767).astype(np.int16).astype(np.float32) / 32768


@pytest.mark.parametrize("suffix", ENCODED)
def test_a_format_is_read_to_its_end(tmp_path: Path, suffix: str) -> None:
    samples = speech_like()
    reader = SoundReader(encode(tmp_path / f"a{suffix}", samples))
    decoded = np.concatenate(list(reader))
    assert suffix in AUDIO_SUFFIXES
    assert reader.sample_rate_hz == RATE_HZ
    assert abs(len(decoded) - len(samples)) <= 0.05 * RATE_HZ
    lag = int(np.argmax(np.correlate(decoded[:24000], samples[4000:20000], "valid"))) - 4000
    assert abs(lag) <= 0.045 * RATE_HZ  # of the encoder
    start = 4000 + lag
    assert np.corrcoef(decoded[start : start + 60000], samples[4000:64000])[0, 1] > 0.99


@pytest.mark.parametrize("suffix", ENCODED)
def test_the_suffix_does_not_matter(tmp_path: Path, suffix: str) -> None:
    path = encode(tmp_path / f"a{suffix}", speech_like())
    expected = read(path)
    np.testing.assert_array_equal(read(path.rename(tmp_path / "recording")), expected)


@pytest.mark.parametrize("suffix", ENCODED)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = encode(tmp_path / f"a{suffix}", speech_like())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(AudioError, match=r"truncated|not a sound file"):
        read(path)


@pytest.mark.parametrize("suffix", [*ENCODED, ".wav", ".aiff"])
def test_joined_files_are_read_to_the_end(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix in ENCODERS:
        encode(path, speech_like())
    else:
        soundfile.write(path, speech_like(), RATE_HZ)
    once = len(read(path))
    path.write_bytes(path.read_bytes() * 2)
    assert len(read(path)) == pytest.approx(2 * once, abs=0.06 * RATE_HZ)


@pytest.mark.parametrize("length", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFDB])
def test_a_length_that_is_a_placeholder(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SECOND, length=length))
    np.testing.assert_array_equal(read(path), rounded(SECOND))
    assert SoundReader(path).seconds == 1.0


def test_a_length_that_is_out_of_date(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SECOND, length=8000))
    np.testing.assert_array_equal(read(path), rounded(SECOND))


@pytest.mark.parametrize("after", [b"", LIST, LIST + b"\0", b"\0" * 4000, b"ID3\4" + b"\0" * 30, b"TAG" + b"\0" * 125])
def test_what_follows_the_sound_is_not_sound(tmp_path: Path, after: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SECOND, after=after))
    np.testing.assert_array_equal(read(path), rounded(SECOND))


@pytest.mark.parametrize("before", [LIST, LIST + b"\0", b"bext" + struct.pack("<I", 602) + bytes(602)])
def test_chunks_before_the_sound_may_be_unpadded(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SECOND, before=before))
    np.testing.assert_array_equal(read(path), rounded(SECOND))


def test_a_wav_that_is_too_short_for_its_length_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SECOND)[:-10000])
    with pytest.raises(AudioError, match=r"a\.wav: truncated, only 22000 of 32000 bytes of sound are present"):
        read(path)


def test_joined_wavs_of_different_rates_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SECOND) + wav(SECOND, 8000))
    with pytest.raises(AudioError, match=r"a\.wav: holds 2 recordings with different sample rates or channels"):
        read(path)


@pytest.mark.parametrize(("format_", "suffix"), [("W64", ".w64"), ("RF64", ".rf64"), ("AU", ".au"), ("CAF", ".caf")])
def test_rarer_containers(tmp_path: Path, format_: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, SECOND, 16000, format=format_, subtype="PCM_16")
    assert len(read(path)) == 16000
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(AudioError, match="truncated"):
        read(path)


def test_a_flac_without_a_length(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, SECOND, 16000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO's number of samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert len(read(path)) == 16000


def test_an_mp3_without_a_length_is_read_to_its_end(tmp_path: Path) -> None:
    """Its length is estimated from the first bit rate, which is far too high here."""
    quiet, loud = tmp_path / "quiet.mp3", tmp_path / "loud.mp3"
    soundfile.write(loud, np.random.default_rng(0).uniform(-0.5, 0.5, 16000), 16000)
    soundfile.write(quiet, speech_like(4.0, 16000) * 0.01, 16000)
    frames = [_frames(path.read_bytes()) for path in (loud, quiet)]
    path = tmp_path / "a.mp3"
    path.write_bytes(b"".join(frames))
    assert len(read(path)) == pytest.approx(5 * 16000, abs=0.3 * 16000)


def _frames(content: bytes) -> bytes:
    """An MP3 from its second frame on, without the frame that states the length."""
    first = content.index(b"\xff", 0 if content[:3] != b"ID3" else 10)
    return content[content.index(content[first : first + 2], first + 4) :]


def test_integers_that_were_not_scaled_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, SECOND * 32767, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"samples reach \d+\S*, but floats must lie in \[-1, 1\].* divide them by"):
        read(path)


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    encode(tmp_path / "secret.mp3", speech_like())
    for text in ("#EXTM3U\n#EXTINF:2,\nsecret.mp3\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile secret.mp3\n"):
        path = tmp_path / "a.mp3"
        path.write_text(text)
        with pytest.raises(AudioError, match="not a sound file"):
            read(path)


def test_a_name_that_ffmpeg_would_take_for_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "b.m4a", speech_like())
    os.rename("b.m4a", "concat:b.m4a|b.m4a")
    assert len(read(Path("concat:b.m4a|b.m4a"))) == pytest.approx(2 * RATE_HZ, abs=0.05 * RATE_HZ)


def test_a_seek_before_the_beginning_is_an_answer_not_an_error(tmp_path: Path) -> None:
    """FFmpeg does so in damaged files, thousands of times, and PyAV would print a traceback each time."""
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SECOND))
    with path.open("rb") as file, PartFile(path, Part(b"head", 44, 100)) as part:
        for source in (_Source(file), _Source(part)):
            assert source.seek(8) == 8
            assert source.seek(-5, os.SEEK_SET) == -1
            assert source.seek(-9, os.SEEK_CUR) == -1
            assert source.tell() == 8
