"""Files block by block: what `Waveform.read` and `save` promise holds without the whole in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from vczoo.audio.reader import BLOCK_SAMPLES, SoundReader
from vczoo.audio.writer import SoundWriter
from vczoo.errors import AudioError


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, count).astype(np.float32)


def test_a_reader_reads_again_from_the_beginning(tmp_path: Path) -> None:
    samples = noise(3 * BLOCK_SAMPLES + 5)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    reader = SoundReader(tmp_path / "a.wav")
    assert (reader.sample_rate_hz, reader.promised, reader.seconds) == (16000, len(samples), len(samples) / 16000)
    for _ in range(2):
        blocks = list(reader)
        assert max(map(len, blocks)) == BLOCK_SAMPLES
        np.testing.assert_array_equal(np.concatenate(blocks), samples)


def test_nan_is_told_before_its_block_is_given_and_counted_to_the_end(tmp_path: Path) -> None:
    samples = noise(4 * BLOCK_SAMPLES)
    samples[[BLOCK_SAMPLES + 3, -1]] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    blocks = iter(SoundReader(tmp_path / "a.wav"))
    assert len(next(blocks)) == BLOCK_SAMPLES
    with pytest.raises(AudioError, match=f"2 of {len(samples)} samples are NaN"):
        next(blocks)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_blocks_make_the_file_that_the_whole_makes(tmp_path: Path, suffix: str) -> None:
    samples = noise(100_000)
    with SoundWriter(tmp_path / f"whole{suffix}", 16000) as file:
        file.write(samples)
    with SoundWriter(tmp_path / f"blocks{suffix}", 16000) as file:
        for start in range(0, len(samples), 777):
            file.write(samples[start : start + 777])
        assert not (tmp_path / f"blocks{suffix}").exists()
    assert file.written == len(samples)
    whole, blocks = (soundfile.read(tmp_path / f"{name}{suffix}")[0] for name in ("whole", "blocks"))
    assert len(blocks) == len(whole)
    np.testing.assert_allclose(blocks, whole, atol=0.1 if suffix == ".ogg" else 0)  # Vorbis cuts its windows by blocks
    assert {path.name for path in tmp_path.iterdir()} == {f"whole{suffix}", f"blocks{suffix}"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_what_breaks_off_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def write() -> None:
        with SoundWriter(tmp_path / "a.wav", 16000) as file:
            file.write(noise(100_000))
            raise error

    with pytest.raises(error):
        write()
    assert not list(tmp_path.iterdir())


def test_a_file_that_came_into_being_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"

    def write() -> None:
        with SoundWriter(path, 16000) as file:
            file.write(noise(100))
            path.write_bytes(b"theirs")

    with pytest.raises(AudioError, match="exists"):
        write()
    assert path.read_bytes() == b"theirs"
    with pytest.raises(AudioError, match="exists"):
        SoundWriter(path, 16000)
    assert [found.name for found in tmp_path.iterdir()] == ["a.wav"]


def test_a_wav_does_not_outgrow_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vczoo.audio.writer.LARGEST_WAV", 3000)

    def write(name: str) -> None:
        with SoundWriter(tmp_path / name, 16000) as file:
            file.write(noise(1500))
            file.write(noise(1))

    with pytest.raises(AudioError, match=r"at most 4 GiB; write \.flac"):
        write("a.wav")
    write("a.flac")
    assert [found.name for found in tmp_path.iterdir()] == ["a.flac"]


def test_a_file_above_is_told_and_is_not_called_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("here")
    for path in (tmp_path / "a" / "b.wav", tmp_path / "a" / "b" / "c.wav"):
        with pytest.raises(AudioError) as error:
            SoundWriter(path, 16000)
        assert str(error.value) == (
            f"{path}: cannot be written, because {tmp_path / 'a'} is a file, not a folder; choose another path"
        )
    late = SoundWriter(tmp_path / "new" / "b.wav", 16000)
    (tmp_path / "new").write_text("it came meanwhile")
    with pytest.raises(AudioError, match=r"b\.wav: cannot be written"), late:
        pytest.fail("it was opened")
