"""Recordings that hardly describe a voice are told from those that do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.audio.waveform import Waveform
from vczoo.conversion.enrollment import enrollment_doubts, more_speech, speech_seconds

RATE_HZ = 16000


def sine(seconds: float) -> torch.Tensor:
    return 0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def test_speech_gives_no_doubt_even_beside_an_offset(voices_folder: Path) -> None:
    waves = [Waveform.read(path) for path in sorted((voices_folder / "alice").iterdir())]
    assert enrollment_doubts(waves) == []
    assert enrollment_doubts([Waveform.of(0.5 * wave.samples + 0.4, RATE_HZ) for wave in waves]) == []


def test_a_tone_and_noise_are_no_speech() -> None:
    noise = 0.1 * torch.randn(3 * RATE_HZ, generator=torch.Generator().manual_seed(0))
    for samples in (sine(3.0), noise):
        (doubt,) = enrollment_doubts([Waveform.of(samples, RATE_HZ)])
        assert "the level never changes" in doubt


def test_noise_that_would_become_part_of_the_voice_is_said(voices_folder: Path) -> None:
    waves = [Waveform.read(path) for path in sorted((voices_folder / "alice").iterdir())]
    generator = torch.Generator().manual_seed(0)
    noisy = []
    for wave in 2 * waves:
        noise = torch.randn(wave.samples.shape, generator=generator) * wave.samples.square().mean().sqrt()
        noisy.append(Waveform.of(wave.samples + 10 ** (-5 / 20) * noise, RATE_HZ))
    (doubt,) = enrollment_doubts(noisy)
    assert doubt.startswith("the background is hardly softer than the speech")
    assert "--denoise" in doubt


def test_the_silence_around_a_word_does_not_count(voices_folder: Path) -> None:
    word = Waveform.read(voices_folder / "alice" / "0.wav").samples[0, :4800]
    quiet = torch.cat([torch.zeros(RATE_HZ), word, torch.zeros(RATE_HZ)])
    (doubt,) = enrollment_doubts([Waveform.of(quiet, RATE_HZ)])
    assert doubt == "0.3 s of sound is too short to describe a voice; use half a minute of speech"


def test_the_warning_is_at_the_line_of_the_caller(made_run: Path) -> None:
    converter = vczoo.load(made_run)
    with pytest.warns(vczoo.VoiceWarning, match="voice 'tone': the level never changes") as caught:
        converter.enroll("tone", Waveform.of(sine(3.0), RATE_HZ))
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0.5, "0 s of speech: 15 s or more would make conversions about 0.07 more similar"),
        (4.0, "4 s of speech: 15 s or more would make conversions about 0.03 more similar"),
        (2.9, "3 s of speech: 15 s or more would make conversions about 0.04 more similar"),
        (15.0, "15 s of speech: more would hardly improve"),
        (600.0, "600 s of speech: more would hardly improve"),
    ],
)
def test_what_more_speech_would_buy(seconds: float, says: str) -> None:
    assert more_speech(seconds).startswith(says)


def test_enrolling_says_it_where_it_was_measured(made_run: Path, voices_folder: Path) -> None:
    files = sorted((voices_folder / "alice").iterdir())
    seconds = speech_seconds([Waveform.read(path) for path in files])
    assert vczoo.load("base").enroll("alice", files) == more_speech(seconds)
    assert vczoo.load(made_run).enroll("dora", files) == f"{seconds:.0f} s of speech"


def embed_by_pitch(wave: Waveform) -> torch.Tensor:
    """Embeddings that differ by their angle: a degree per 4 Hz of the strongest frequency."""
    spectrum = torch.fft.rfft(wave.samples).abs()
    hz = spectrum.argmax(dim=1) * wave.sample_rate_hz / wave.samples.shape[1]
    return torch.stack([torch.cos(torch.deg2rad(hz / 4)), torch.sin(torch.deg2rad(hz / 4))], dim=1)


@pytest.mark.parametrize(
    ("seconds_of", "doubts"),
    [({440: 30.0}, 0), ({440: 20.0, 480: 10.0}, 0), ({440: 20.0, 700: 10.0}, 1), ({440: 60.0, 700: 3.0}, 0)],
    ids=["one speaker", "one who varies", "two speakers", "a word of another"],
)
def test_two_speakers_in_one_voice_are_told(seconds_of: dict[int, float], doubts: int) -> None:
    tones = [
        torch.sin(2 * torch.pi * hz * torch.arange(round(seconds * RATE_HZ)) / RATE_HZ)
        for hz, seconds in seconds_of.items()
    ]
    rhythm = 1 + torch.sin(2 * torch.pi * 3 * torch.arange(sum(map(len, tones))) / RATE_HZ)
    wave = Waveform.of(0.2 * torch.cat(tones) * rhythm, RATE_HZ)
    told = enrollment_doubts([wave], embed_by_pitch)
    assert len(told) == doubts
    if doubts:
        assert re.match("3[0-9]% of the speech sounds like another speaker", told[0])


@pytest.mark.slow
def test_real_readers_are_told_apart(shared: Path) -> None:
    readers = {
        folder.name: [Waveform.read(path, RATE_HZ) for path in sorted(folder.glob("*.flac"))[:4]]
        for folder in sorted((shared / "data" / "vctk-mini").iterdir())
        if folder.is_dir()
    }
    model = vczoo.load("base").model

    def embed(wave: Waveform) -> torch.Tensor:
        return model.embed(wave)["speaker"]

    names = sorted(readers)
    assert all(enrollment_doubts(readers[name], embed) == [] for name in names)
    pairs = zip(names, names[1:] + names[:1], strict=True)
    told = [enrollment_doubts(readers[name][:2] + readers[other][2:], embed) for name, other in pairs]
    assert sum(map(bool, told)) >= 3  # p228 and p225 are too similar
