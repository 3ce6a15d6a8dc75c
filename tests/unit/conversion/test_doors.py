"""Waveforms that a caller brings meet the rules of files: finite, of a rate of speech, long and loud enough."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import vczoo
from tests.support.sound_files import speech_like
from vczoo.audio import limits
from vczoo.audio.reader import SoundReader
from vczoo.audio.waveform import Waveform
from vczoo.errors import AudioError

RATE_HZ = 16000
SECOND = torch.from_numpy(speech_like(1.0, RATE_HZ))


def spoiled(value: float) -> torch.Tensor:
    samples = SECOND.clone()
    samples[5000] = value
    return samples


BAD = {
    "nan": (Waveform.of(spoiled(math.nan), RATE_HZ), "1 of 16000 samples are NaN or infinite"),
    "inf": (Waveform.of(spoiled(-math.inf), RATE_HZ), "1 of 16000 samples are NaN or infinite"),
    "empty": (Waveform.of(SECOND[:0], RATE_HZ), "0 samples at 16000 Hz, shorter than 20 ms"),
    "one sample": (Waveform.of(SECOND[5000:5001], RATE_HZ), "1 samples at 16000 Hz, shorter than 20 ms"),
    "silent": (Waveform.of(0 * SECOND, RATE_HZ), "silent throughout"),
    "1 Hz": (Waveform.of(SECOND, 1), "its sample rate is 1 Hz"),
    "endless rate": (Waveform.of(SECOND, 10**9), "its sample rate is 1000000000 Hz"),
}


@pytest.fixture(scope="module")
def converter(made_run: Path) -> vczoo.Converter:
    return vczoo.load(made_run)


@pytest.mark.parametrize("name", BAD)
def test_a_waveform_that_a_file_could_not_hold_is_refused(
    converter: vczoo.Converter, tmp_path: Path, name: str
) -> None:
    wave, fault = BAD[name]
    conversions = (
        lambda: converter.convert(wave, "bob"),
        lambda: converter.convert(wave, "bob", semitones=0.0),
        lambda: converter.convert_file(wave, tmp_path / "a.wav", "bob"),
    )
    for work in (
        *(() if name in ("one sample", "silent") else conversions),  # which a part of a signal may be
        lambda: converter.embed(wave),
        lambda: converter.identify(wave),
        lambda: converter.enroll("dora", wave),
        lambda: converter.enroll("dora", [Waveform.of(SECOND, RATE_HZ), wave]),
    ):
        with pytest.raises(AudioError, match=fault):
            work()
    assert converter.voices == ("alice", "bob", "carol")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_stream_checks_each_block(converter: vczoo.Converter, value: float) -> None:
    blocks = (spoiled(value) if number == 2 else SECOND for number in range(4))
    with pytest.raises(AudioError, match="block 3: 1 samples are NaN or infinite"):
        list(converter.stream(blocks, "bob"))
    with pytest.raises(AudioError, match="its sample rate is 1 Hz"):
        converter.stream([SECOND], "bob", sample_rate_hz=1)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_nothing_that_is_not_a_number_is_written(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(AudioError, match="1 of 16000 samples to write are NaN or infinite"):
        Waveform.of(spoiled(math.nan), RATE_HZ).save(tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


def test_a_result_too_large_for_memory_is_refused_and_written_to_a_file(
    converter: vczoo.Converter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Waveform.of(SECOND, RATE_HZ).save(tmp_path / "a.wav")
    monkeypatch.setattr(limits, "MOST_SAMPLES", 10_000)
    with pytest.raises(AudioError, match=r"too long to be read as a whole: .*convert it to a file"):
        converter.convert(source, "bob")
    with pytest.raises(AudioError, match=r"a\.wav: too long to be read as a whole"):
        converter.embed(source)
    monkeypatch.setattr("vczoo.conversion.converted_blocks.WHOLE_SECONDS", 0.1)
    assert converter.convert_file(source, tmp_path / "out.wav", "bob") == 1.0


def test_a_recording_without_a_length_is_refused_before_its_pitch_is_tracked(
    converter: vczoo.Converter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Waveform.of(SECOND, RATE_HZ).save(tmp_path / "a.wav")
    monkeypatch.setattr(SoundReader, "seconds", 0.0)
    assert converter.convert(source, "bob").seconds == 1.0
    monkeypatch.setattr(limits, "MOST_SAMPLES", 10_000)
    monkeypatch.setattr(converter.model, "pitch", lambda *_: pytest.fail("its pitch was tracked"))
    with pytest.raises(AudioError, match="convert it to a file"):
        converter.convert(source, "bob")


def test_recordings_too_large_together_are_not_enrolled(
    converter: vczoo.Converter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_SAMPLES", 40_000)
    with pytest.raises(AudioError, match=r"enroll fewer of them; a few minutes are enough"):
        converter.enroll("dora", [Waveform.of(SECOND, RATE_HZ)] * 3)
    assert "dora" not in converter.voices


def test_a_header_that_states_too_little_does_not_make_a_long_recording_whole(
    converter: vczoo.Converter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Waveform.of(SECOND.repeat(3), RATE_HZ).save(tmp_path / "a.wav")
    monkeypatch.setattr("vczoo.conversion.converted_blocks.WHOLE_SECONDS", 0.5)
    expected = converter.convert(source, "bob", semitones=0.0)
    monkeypatch.setattr(SoundReader, "seconds", 0.4)
    monkeypatch.setattr(converter.model, "convert", lambda *_, **__: pytest.fail("it was converted as a whole"))
    torch.testing.assert_close(converter.convert(source, "bob", semitones=0.0).samples, expected.samples)


def test_a_folder_of_the_target_speaker_is_read_with_its_subfolders(converter: vczoo.Converter, tmp_path: Path) -> None:
    wave = Waveform.of(SECOND, RATE_HZ)
    wave.save(tmp_path / "me" / "day1" / "a.wav")
    wave.save(tmp_path / "me" / "day2" / "deep" / "b.wav")
    copy, shares = converter.with_references(tmp_path / "me")
    assert shares == {"me": 1.0}
    copy.enroll("both", tmp_path / "me")
    for name, value in copy.run.voices["me"].tensors.items():
        torch.testing.assert_close(value, copy.run.voices["both"].tensors[name])


def test_samples_in_memory_are_converted_and_enrolled_as_their_waveform_is(
    converter: vczoo.Converter, tmp_path: Path
) -> None:
    wave = Waveform.of(SECOND, RATE_HZ)
    expected = converter.convert(wave, "bob").samples
    row = {"array": SECOND.numpy(), "sampling_rate": RATE_HZ}
    for source, rate_hz in (
        (SECOND, RATE_HZ),
        (SECOND.numpy(), RATE_HZ),
        ((RATE_HZ, SECOND.numpy()), None),
        (row, None),
    ):
        assert torch.equal(converter.convert(source, "bob", sample_rate_hz=rate_hz).samples, expected)
    assert converter.convert_file(SECOND, tmp_path / "a.wav", "bob", sample_rate_hz=RATE_HZ) == 1.0
    assert converter.convert_file((RATE_HZ, SECOND), tmp_path / "b.wav", "bob") == 1.0
    assert torch.equal(converter.embed(SECOND, sample_rate_hz=RATE_HZ), converter.embed(wave))
    assert converter.identify(row) == converter.identify(wave)

    copy = vczoo.Converter(replace(converter.run, voices=dict(converter.run.voices)))
    copy.enroll("one", wave)
    copy.enroll("two", SECOND, sample_rate_hz=RATE_HZ)
    copy.enroll("three", [(RATE_HZ, SECOND.numpy())])
    for name, value in copy.run.voices["one"].tensors.items():
        assert torch.equal(value, copy.run.voices["two"].tensors[name])
        assert torch.equal(value, copy.run.voices["three"].tensors[name])


def test_samples_without_a_rate_or_of_several_recordings_are_refused(
    converter: vczoo.Converter, tmp_path: Path
) -> None:
    for work in (
        lambda source: converter.convert(source, "bob"),
        lambda source: converter.convert_file(source, tmp_path / "a.wav", "bob"),
        lambda source: converter.enroll("dora", source),
        converter.identify,
    ):
        with pytest.raises(AudioError, match="has no sample rate: say it with sample_rate_hz="):
            work(SECOND)
        with pytest.raises(AudioError, match="Pass one recording at a time"):
            work((RATE_HZ, SECOND.repeat(3, 1)))
    assert "dora" not in converter.voices
    assert not list(tmp_path.iterdir())
