from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from vczoo.audio.waveform import Waveform
from vczoo.audio.writer import WRITE_SUFFIXES
from vczoo.errors import AudioError


def peak_hz(wave: Waveform) -> float:
    """The frequency of the strongest bin of the one item."""
    spectrum = torch.fft.rfft(wave[0].samples[0]).abs()
    return float(spectrum.argmax()) * wave.sample_rate_hz / wave[0].samples.shape[1]


def noise(seconds: float, rate_hz: int = 16000) -> torch.Tensor:
    return torch.rand(round(seconds * rate_hz), generator=torch.Generator().manual_seed(0)) - 0.5


@pytest.mark.parametrize("suffix", WRITE_SUFFIXES)
@pytest.mark.parametrize(("rate_hz", "channels"), [(8000, 1), (22050, 2), (44100, 1), (48000, 2)])
def test_read_every_format_rate_and_channel_count(tone, tmp_path, suffix, rate_hz, channels) -> None:
    path = tone(tmp_path / f"tone{suffix}", hz=1000, seconds=0.5, rate_hz=rate_hz, channels=channels)
    wave = Waveform.read(path)
    assert wave.sample_rate_hz == rate_hz
    assert wave.samples.shape == (1, int(wave.lengths[0]))
    assert wave.samples.dtype == torch.float32
    assert wave.seconds == pytest.approx(0.5, abs=0.06 if suffix == ".mp3" else 1e-3)
    assert peak_hz(wave) == pytest.approx(1000, abs=5)
    assert float(wave.samples.abs().max()) == pytest.approx(0.5, abs=0.1)


def test_read_averages_channels(tmp_path) -> None:
    left, right = np.full(1000, 0.5), np.full(1000, -0.25)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16000)
    wave = Waveform.read(tmp_path / "a.wav")
    torch.testing.assert_close(wave.samples, torch.full((1, 1000), 0.125))


def test_read_goes_past_one_block(tmp_path) -> None:
    samples = noise(12.5).numpy()
    soundfile.write(tmp_path / "long.wav", samples, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(Waveform.read(tmp_path / "long.wav").samples[0].numpy(), samples)


def test_read_resamples_when_asked(tone, tmp_path) -> None:
    wave = Waveform.read(tone(tmp_path / "a.wav", rate_hz=48000), 16000)
    assert wave.sample_rate_hz == 16000
    assert wave.samples.shape == (1, 8000)


def test_read_clips_float_files(tone, tmp_path) -> None:
    wave = Waveform.read(tone(tmp_path / "a.wav", peak=3.0, subtype="FLOAT"))
    assert float(wave.samples.max()) == 1.0
    assert float(wave.samples.min()) == -1.0


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path, suffix, share) -> None:
    whole = Waveform.of(noise(2.0), 16000).save(tmp_path / f"whole{suffix}").read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(AudioError, match=r"cut\.\w+: .*(truncated|not audio|shorter than)"):
        Waveform.read(cut)


def test_truncation_is_named_with_what_is_there(tone, tmp_path) -> None:
    path = tone(tmp_path / "a.wav", seconds=1.0)
    path.write_bytes(path.read_bytes()[:16044])
    with pytest.raises(AudioError, match="truncated, only 16000 of 32000 bytes of sound"):
        Waveform.read(path)


def test_a_stream_whose_header_knows_no_length_is_read(tone, tmp_path) -> None:
    path = tone(tmp_path / "a.wav", seconds=0.5)
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert Waveform.read(path).seconds == pytest.approx(0.5)


def damaged(kind: str, folder: Path) -> Path:
    path = folder / "bad.wav"
    samples = np.sin(np.arange(8000) / 5) / 2
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("This is not audio at all.\n" * 50)
    elif kind == "folder":
        path.mkdir()
    elif kind == "silent":
        soundfile.write(path, np.zeros(8000), 16000)
    elif kind == "one sample":
        soundfile.write(path, samples[:1] + 0.5, 16000)
    elif kind in ("NaN", "infinity"):
        samples[[7, 9]] = float(kind[:3])
        soundfile.write(path, samples, 16000, subtype="FLOAT")
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", r"empty \(0 bytes\)"),
        ("text", "not a sound file that libsndfile or FFmpeg can read"),
        ("folder", "a folder, but a recording was expected"),
        ("silent", "silent throughout"),
        ("one sample", "1 samples at 16000 Hz, shorter than 20 ms"),
        ("NaN", "2 of 8000 samples are NaN or infinite"),
        ("infinity", "2 of 8000 samples are NaN or infinite"),
        ("absent", "no such file"),
    ],
)
def test_read_says_what_is_wrong_with_a_file(tmp_path, kind, message) -> None:
    with pytest.raises(AudioError, match=rf"bad\.wav: .*{message}"):
        Waveform.read(damaged(kind, tmp_path))


def test_a_file_that_may_not_be_opened_is_an_audio_error(tone, tmp_path, monkeypatch) -> None:
    path = tone(tmp_path / "a.wav")

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)  # root may open anything, so the mode bits would not do
    with pytest.raises(AudioError, match="Permission denied"):
        Waveform.read(path)


@pytest.mark.parametrize("shape", [(), (1, 2, 100)])
def test_of_refuses_other_shapes(shape) -> None:
    with pytest.raises(AudioError, match="batch first and mono"):
        Waveform.of(torch.zeros(shape), 16000)


def test_batch_pads_and_items_come_back() -> None:
    short, long = Waveform.of(noise(0.1), 16000), Waveform.of(noise(0.3), 16000)
    batch = Waveform.batch([short, long])
    assert batch.samples.shape == (2, 4800)
    assert batch.lengths.tolist() == [1600, 4800]
    assert not batch.samples[0, 1600:].any()
    assert batch.seconds == pytest.approx(0.4)
    torch.testing.assert_close(batch[0].samples, short.samples)
    torch.testing.assert_close(batch[1].samples, long.samples)


def test_batch_of_batches_drops_padding_that_nobody_needs() -> None:
    batch = Waveform.batch([Waveform.of(noise(0.1), 16000), Waveform.of(noise(0.3), 16000)])
    first = Waveform(batch.samples[:1], 16000, batch.lengths[:1])
    assert Waveform.batch([first, first]).samples.shape == (2, 1600)


def test_batch_refuses_two_rates_and_nothing() -> None:
    with pytest.raises(AudioError, match=r"one sample rate, got \[8000, 16000\]"):
        Waveform.batch([Waveform.of(noise(0.1), 16000), Waveform.of(noise(0.1), 8000)])
    with pytest.raises(AudioError, match="no waveform"):
        Waveform.batch([])


@pytest.mark.parametrize(("before", "after"), [(48000, 16000), (16000, 22050), (8000, 44100)])
def test_resample_keeps_duration_and_frequency(tone, tmp_path, before, after) -> None:
    wave = Waveform.read(tone(tmp_path / "a.wav", hz=1000, rate_hz=before)).resample(after)
    assert wave.seconds == pytest.approx(0.5, abs=1 / after)
    assert peak_hz(wave) == pytest.approx(1000, abs=3)


def test_resample_gives_an_item_the_same_in_a_batch_as_alone() -> None:
    short, long = Waveform.of(noise(0.1001), 16000), Waveform.of(noise(0.3), 16000)
    batch = Waveform.batch([short, long]).resample(22050)
    alone = short.resample(22050)
    torch.testing.assert_close(batch[0].samples, alone.samples)
    assert not batch.samples[0, int(batch.lengths[0]) :].any(), "the filter rings into the padding"


@pytest.mark.parametrize("rate_hz", [0, -1, 16000.5])
def test_resample_refuses_rates_that_are_none(rate_hz) -> None:
    with pytest.raises(AudioError, match="positive whole number of Hz"):
        Waveform.of(noise(0.1), 16000).resample(rate_hz)


def test_parts_are_equal_and_no_longer_than_that() -> None:
    batch = Waveform.batch([Waveform.of(noise(0.1), 16000), Waveform.of(noise(0.3001), 16000)])
    parts = batch.parts(0.1)
    assert [part.samples.shape for part in parts] == [(1, 1600), (1, 1201), (1, 1201), (1, 1200), (1, 1200)]
    assert torch.equal(torch.cat([part.samples for part in parts[1:]], dim=1), batch[1].samples)
    assert [len(Waveform.of(torch.zeros(count), 100).parts()) for count in (1, 3000, 3001, 6001)] == [1, 1, 2, 3]


def test_trim_cuts_silence_from_both_ends_and_keeps_the_middle() -> None:
    speech, pause = noise(0.2), torch.zeros(3200)
    samples = torch.cat([pause, speech, pause, speech, pause, pause])
    trimmed = Waveform.of(samples, 16000).trim()
    torch.testing.assert_close(trimmed.samples[0], torch.cat([speech, pause, speech]))


def test_trim_keeps_what_is_within_the_range() -> None:
    samples = torch.cat([noise(0.2) * 0.02, noise(0.2)])  # -34 dB, then 0 dB
    wave = Waveform.of(samples, 16000)
    assert wave.trim(below_peak_db=40).samples.shape[1] == 6400
    assert wave.trim(below_peak_db=30).samples.shape[1] == 3200


@pytest.mark.parametrize("suffix", WRITE_SUFFIXES)
def test_save_and_read_back(tone, tmp_path, suffix) -> None:
    wave = Waveform.read(tone(tmp_path / "source.wav", hz=500, seconds=1.0))
    path = wave.save(tmp_path / "new" / f"out{suffix}")
    again = Waveform.read(path)
    assert again.sample_rate_hz == 16000
    assert peak_hz(again) == pytest.approx(500, abs=3)
    if suffix in (".wav", ".flac"):
        torch.testing.assert_close(again.samples, wave.samples, atol=1 / 32768, rtol=0)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_save_clips(tmp_path) -> None:
    path = Waveform.of(4 * noise(0.1), 16000).save(tmp_path / "a.wav")
    read = Waveform.read(path).samples
    assert float(read.max()) == pytest.approx(1.0, abs=1e-4)
    assert float(read.min()) == -1.0


def test_a_minute_of_ogg_is_written(tmp_path) -> None:
    # In one block libsndfile's encoder overflows the stack: should this end the test run, that is why.
    path = Waveform.of(noise(60, 48000), 48000).save(tmp_path / "a.ogg")
    assert soundfile.info(path).duration == pytest.approx(60, abs=0.01)


def test_save_refuses_an_existing_path_unless_told(tone, tmp_path) -> None:
    path = tone(tmp_path / "a.wav")
    old = path.read_bytes()
    wave = Waveform.of(noise(0.1), 16000)
    with pytest.raises(AudioError, match=r"a\.wav exists; choose another name"):
        wave.save(path)
    assert path.read_bytes() == old
    wave.save(path, overwrite=True)
    assert Waveform.read(path).seconds == pytest.approx(0.1)


@pytest.mark.parametrize(("name", "message"), [("a.m4a", r"cannot write \.m4a"), ("a", "a file without suffix")])
def test_save_refuses_unknown_formats(tmp_path, name, message) -> None:
    with pytest.raises(AudioError, match=message):
        Waveform.of(noise(0.1), 16000).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_save_refuses_several_items_and_rates_that_a_format_has_not(tmp_path) -> None:
    one = Waveform.of(noise(0.1), 16000)
    with pytest.raises(AudioError, match=r"got a batch of 2; save wave\[i\]"):
        Waveform.batch([one, one]).save(tmp_path / "a.wav")
    with pytest.raises(AudioError, match=r"a\.mp3: cannot be written"):
        Waveform.of(noise(0.1), 12345).save(tmp_path / "a.mp3")
    assert not list(tmp_path.iterdir())


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A disk that is full after `size` bytes: Python ignores SIGXFSZ, so that a write fails with EFBIG."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", WRITE_SUFFIXES)
@pytest.mark.parametrize("missing", [1, 4096])  # a libsndfile that writes itself does not notice the first
def test_a_full_disk_leaves_nothing_behind_and_the_old_file_whole(tmp_path, suffix, missing) -> None:
    wave = Waveform.of(noise(5.0), 16000)
    size = wave.save(tmp_path / f"whole{suffix}").stat().st_size
    (tmp_path / f"whole{suffix}").unlink()
    old = tmp_path / f"old{suffix}"
    old.write_bytes(b"old")
    for path in (old, tmp_path / f"new{suffix}"):
        with files_of_at_most(size - missing), pytest.raises(AudioError, match=r"cannot be written .*File too large"):
            wave.save(path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [old.name]
    assert old.read_bytes() == b"old"
