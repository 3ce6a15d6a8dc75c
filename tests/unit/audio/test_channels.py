"""Mixing down: averages, silent and cancelling channels, two people."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vczoo.audio.reader import SoundReader
from vczoo.audio.waveform import Waveform
from vczoo.errors import AudioError, AudioWarning

RATE = 16000
VOICE = (np.random.default_rng(0).standard_normal(4 * RATE) * 0.1).astype(np.float32)
OTHER = (np.random.default_rng(1).standard_normal(4 * RATE) * 0.1).astype(np.float32)


def write(path: Path, *channels: np.ndarray) -> Path:
    soundfile.write(path, np.stack(channels, axis=1), RATE, subtype="FLOAT")
    return path


def read(path: Path, channel: str | None = None) -> np.ndarray:
    return Waveform.read(path, channel=channel).samples[0].numpy()


def test_stereo_is_averaged_without_a_word(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", VOICE, 0.5 * VOICE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(read(path), 0.75 * VOICE, atol=1e-7)


def test_channels_that_cancel_are_not_averaged(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 0.9 * VOICE, -VOICE)
    with pytest.warns(AudioWarning, match=r"a\.wav: its two channels cancel out .* only the right one is used"):
        np.testing.assert_allclose(read(path), -VOICE, atol=1e-7)
    assert np.abs(read(path, "mix")).max() < 0.06


def test_a_silent_channel_does_not_halve_the_level(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.zeros_like(VOICE), VOICE)
    with pytest.warns(AudioWarning, match="the left channel is silent, so only the right one is used"):
        np.testing.assert_array_equal(read(path), VOICE)


def test_two_people_are_pointed_out(tmp_path: Path) -> None:
    turns = (np.arange(len(VOICE)) // RATE % 2).astype(np.float32)
    path = write(tmp_path / "a.wav", VOICE * turns, OTHER * (1 - turns))
    with pytest.warns(AudioWarning, match="left and right hold different speech, perhaps of two people"):
        mixed = read(path)
    np.testing.assert_allclose(mixed, (VOICE * turns + OTHER * (1 - turns)) / 2, atol=1e-7)
    np.testing.assert_array_equal(read(path, "left"), VOICE * turns)
    np.testing.assert_array_equal(read(path, "right"), OTHER * (1 - turns))


def test_a_channel_that_is_not_there(tmp_path: Path) -> None:
    mono = write(tmp_path / "a.wav", VOICE)
    np.testing.assert_array_equal(read(mono, "left"), VOICE)
    with pytest.raises(AudioError, match=r"a\.wav: it has only one channel, so there is no right one"):
        SoundReader(mono, "right")
    with pytest.raises(AudioError, match=r"a\.wav: channel is one of left, right, mix, got 'middle'"):
        SoundReader(mono, "middle")
