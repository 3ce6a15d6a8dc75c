"""Sources and targets that no voice converter likes: each gives finite speech of the source's length, or says why not.

Three converters, one for each kind of voice head: the small trained run with its mel decoder, kNN, and the linear map.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.audio.waveform import Waveform
from vczoo.errors import AudioError, VoiceError

RATE = 16000
HEADS = ("mel-decoder", "knn", "linear")


@pytest.fixture(scope="module")
def converters(trained_folder: Path, voices_folder: Path, small: tuple[str, ...]) -> dict[str, vczoo.Converter]:
    """By head; voices alice and bob."""
    made = {"mel-decoder": vczoo.load(trained_folder)}
    plain = [setting for setting in small if not setting.startswith("heads.voice")]
    options = {"knn": ["heads.voice.use=knn"], "linear": ["heads.voice={use: linear, width: 8, blocks: 1}"]}
    for head, own in options.items():
        made[head] = vczoo.load("demo", [*plain, *own])
        for voice in ("alice", "bob"):
            made[head].enroll(voice, sorted((voices_folder / voice).iterdir()))
    return made


@pytest.fixture(params=HEADS)
def converter(request: pytest.FixtureRequest, converters: dict[str, vczoo.Converter]) -> vczoo.Converter:
    return converters[request.param]


def noise(seconds: float) -> torch.Tensor:
    return torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(0))


def whisper(seconds: float = 1.0) -> Waveform:
    """Noise without a harmonic, coming and going as syllables do."""
    envelope = torch.sin(math.pi * 3 * torch.arange(round(seconds * RATE)) / RATE) ** 2
    return Waveform.of(0.05 * noise(seconds) * envelope, RATE)


def chord() -> Waveform:
    """A second of three plucked notes with their harmonics."""
    time = torch.arange(RATE) / RATE
    notes = [torch.sin(2 * math.pi * hz * n * time) / n for hz in (220.0, 277.18, 329.63) for n in range(1, 9)]
    return Waveform.of(0.1 * torch.stack(notes).sum(0) * torch.exp(-3 * time), RATE)


def speech(voices_folder: Path) -> Waveform:
    return Waveform.read(voices_folder / "carol" / "2.wav", RATE)


def check(made: Waveform, source: Waveform) -> None:
    assert made.samples.shape == source.samples.shape
    assert made.sample_rate_hz == RATE
    assert bool(made.samples.isfinite().all())


@pytest.mark.parametrize("samples", [1, 320, 321])
def test_20_ms_or_less(converter: vczoo.Converter, voices_folder: Path, samples: int) -> None:
    """One frame of content: as many samples come out, none of them NaN, and in the middle of speech there is sound."""
    source = Waveform.of(speech(voices_folder).samples[:, 4000 : 4000 + samples], RATE)
    made = converter.convert(source, "bob")
    check(made, source)
    if samples >= 320:
        assert float(made.samples.abs().max()) > 1e-4


def test_a_file_shorter_than_20_ms_is_refused(converter: vczoo.Converter, tmp_path: Path) -> None:
    """As a file it is more likely a broken recording than a source."""
    path = Waveform.of(0.1 * noise(0.01), RATE).save(tmp_path / "short.wav")
    with pytest.raises(AudioError, match=r"160 samples at 16000 Hz, shorter than 20 ms"):
        converter.convert(path, "bob")


@pytest.mark.parametrize("seconds", [0.02, 1.0])
def test_silence(converter: vczoo.Converter, seconds: float) -> None:
    """Digital silence has no pitch, no deviation to divide by and no direction to match: the result is finite."""
    source = Waveform.of(torch.zeros(round(seconds * RATE)), RATE)
    check(converter.convert(source, "alice"), source)


@pytest.mark.parametrize("level", [0.0, 3e-4])
def test_silence_becomes_the_quietest_that_the_voice_has(
    converters: dict[str, vczoo.Converter], voices_folder: Path, level: float
) -> None:
    """Digital, or that of a room. Centred by itself alone, it would match frames at random and become speech."""
    knn, quiet = converters["knn"], level * noise(1.0)
    knn.enroll("with pauses", Waveform.of(torch.cat([speech(voices_folder).samples[0], quiet]), RATE), overwrite=True)
    made = knn.convert(Waveform.of(quiet.roll(5000), RATE), "with pauses")
    loud = knn.convert(speech(voices_folder), "with pauses")
    assert float(made.samples.square().mean()) < 1e-3 * float(loud.samples.square().mean())


def test_a_silent_file_is_refused(converter: vczoo.Converter, tmp_path: Path) -> None:
    """As a file it is more likely a microphone that was off."""
    path = Waveform.of(torch.zeros(RATE), RATE).save(tmp_path / "silent.wav")
    with pytest.raises(AudioError, match="silent throughout"):
        converter.convert(path, "alice")


def test_music(converter: vczoo.Converter) -> None:
    """A chord has several pitches and no phones: something audible of its length comes out."""
    made = converter.convert(chord(), "bob")
    check(made, chord())
    assert float(made.samples.abs().max()) > 1e-3


def test_clipped_speech(converter: vczoo.Converter, voices_folder: Path) -> None:
    """Every sample at full scale but for its sign: what comes out is finite and no rail."""
    source = Waveform.of(torch.sign(speech(voices_folder).samples), RATE)
    assert float((source.samples.abs() == 1).float().mean()) > 0.99
    made = converter.convert(source, "alice")
    check(made, source)
    assert float(made.samples.std()) > 1e-3


def test_a_whispered_source(converter: vczoo.Converter) -> None:
    """It has no pitch, so there is none to move to the voice's: the result is that of any other shift."""
    pitch = converter.model.pitch(whisper())
    assert not bool(pitch.values[..., 1].any())
    made = converter.convert(whisper(), "bob")
    check(made, whisper())
    assert float(made.samples.abs().max()) > 1e-4
    assert torch.equal(made.samples, converter.convert(whisper(), "bob", semitones=7.0).samples)


def test_a_target_with_3_seconds_of_speech(converter: vczoo.Converter, voices_folder: Path) -> None:
    """It is enrolled and converts; its mean pitch is known."""
    three = Waveform.of(
        torch.cat([Waveform.read(voices_folder / "carol" / f"{n}.wav", RATE).samples[0] for n in range(5)])[: 3 * RATE],
        RATE,
    )
    assert three.seconds == 3.0
    converter.enroll("carla", three, overwrite=True)
    assert float(converter.run.voices["carla"].tensors["pitch"].exp()) == pytest.approx(160, rel=0.1)
    source = Waveform.read(voices_folder / "bob" / "3.wav", RATE)
    made = converter.convert(source, "carla")
    check(made, source)
    assert float(made.samples.abs().max()) > 1e-3


def test_a_target_of_whispers_alone(converter: vczoo.Converter, voices_folder: Path, tmp_path: Path) -> None:
    """It has no pitch to move the source's to, which stays; the voice is kept through save and load as it is."""
    converter.enroll("ghost", [whisper(), whisper(1.5)], overwrite=True)
    source = speech(voices_folder)
    made = converter.convert(source, "ghost")
    check(made, source)
    assert torch.equal(made.samples, converter.convert(source, "ghost", semitones=0.0).samples)
    again = vczoo.load(converter.save(tmp_path / "run"))
    assert torch.equal(again.convert(source, "ghost").samples, made.samples)


def test_a_voice_that_does_not_exist(converter: vczoo.Converter, voices_folder: Path) -> None:
    """Its nearest names are told, alone as in a mix."""
    for voice in ("alise", "alise:0.5,bob:0.5", {"alise": 1.0}):
        with pytest.raises(VoiceError, match=r"no voice is called 'alise'; did you mean 'alice'\? Voices: alice, bob"):
            converter.convert(speech(voices_folder), voice)


@pytest.mark.parametrize("voice", ["alice:0.7,bob:0.4", {"alice": 0.5, "bob": 0.4}, {"alice": 1.5, "bob": -0.5}])
def test_shares_of_a_mix_that_do_not_add_up(
    converter: vczoo.Converter, voices_folder: Path, voice: str | dict[str, float]
) -> None:
    """The shares are told as they were read, with their sum."""
    with pytest.raises(VoiceError, match=r"above 0 and add up to 1, got alice:[\d.]+, bob:[-\d.]+, which add up to"):
        converter.convert(speech(voices_folder), voice)
