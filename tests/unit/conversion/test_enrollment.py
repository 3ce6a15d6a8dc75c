"""Recordings that hardly describe a voice are told from those that do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.audio.waveform import Waveform
from vczoo.conversion.enrollment import enrollment_doubts

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
