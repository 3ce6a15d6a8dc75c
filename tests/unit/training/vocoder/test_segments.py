"""Excerpts of recordings: the seed decides them, every second is as likely as any other, short ones are padded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vczoo.audio.pitch import PitchTracker, pitch_frames
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Utterance
from vczoo.training.vocoder.segments import VocoderSegments


def utterances(folder: Path, *seconds: float) -> list[Utterance]:
    """Ramps, so that a sample tells its place; the n-th has the sign and scale of n."""
    made = []
    for number, length in enumerate(seconds):
        count = round(length * 16000)
        ramp = (number + 1) / 4 * torch.linspace(0.5, 1, count)
        made.append(Utterance(Waveform.of(ramp, 16000).save(folder / f"{number}.wav"), "a", "train", length))
    return made


def test_a_seed_decides_the_excerpts(tmp_path: Path) -> None:
    excerpts = VocoderSegments(utterances(tmp_path, 0.5, 1.0), 16000, 800)
    first, pitch = excerpts.draw(6, seed=3)
    assert first.shape == (6, 800)
    assert torch.equal(first, excerpts.draw(6, seed=3)[0])
    assert not torch.equal(first, excerpts.draw(6, seed=4)[0])
    assert pitch is None


def test_excerpts_are_cut_from_everywhere_in_proportion_to_time(tmp_path: Path) -> None:
    """Of one second and three, a quarter comes from the first; the first samples are spread over each recording."""
    excerpts = VocoderSegments(utterances(tmp_path, 1.0, 3.0), 16000, 160)
    starts = excerpts.draw(4000, seed=0)[0][:, 0]
    of_second = starts > 0.252
    # A sample of the second below .252 would be mistaken for the first's: .25 to .252 is 0.8 % of it.
    assert 0.71 < float(of_second.float().mean()) < 0.79
    places = (starts[of_second] - 0.25) / 0.25
    assert float(places.min()) < 0.02
    assert float(places.max()) > 0.98
    assert abs(float(places.mean()) - 0.5) < 0.03


def test_a_short_recording_is_followed_by_silence(tmp_path: Path) -> None:
    row = VocoderSegments(utterances(tmp_path, 0.05), 16000, 1600).draw(1, seed=0)[0][0]
    assert bool((row[:800] > 0.1).all())
    assert not row[800:].any()


def test_another_rate_is_resampled_to(tmp_path: Path) -> None:
    excerpts = VocoderSegments(utterances(tmp_path, 0.5), 8000, 100)
    assert [len(recording) for recording in excerpts.recordings] == [4000]


class Flat(PitchTracker):
    """Says 200 Hz in every frame."""

    def track(self, samples: Any, sample_rate_hz: int, hop_seconds: float) -> Any:
        return np.full(int(len(samples) / sample_rate_hz / hop_seconds) + 1, 200.0)


def test_the_pitch_is_that_of_the_recipes_tracker(tmp_path: Path) -> None:
    excerpts = VocoderSegments(utterances(tmp_path, 0.5), 16000, 800, MelSpec(), Flat())
    pitch = excerpts.draw(2, seed=0)[1]
    assert pitch is not None
    assert torch.allclose(pitch.values, torch.tensor([0.0, 1.0])), "200 Hz is the center of the scale, and voiced"


def test_a_gain_makes_them_louder_and_quieter_within_its_bounds(tmp_path: Path) -> None:
    """6 dB is a factor of 2; the same excerpts, each as a whole; nothing leaves [-1, 1]."""
    excerpts = VocoderSegments(utterances(tmp_path, 1.0), 16000, 800)
    plain, louder = (excerpts.draw(400, seed=3, gain_db=gain_db)[0] for gain_db in (0.0, 6.0))
    gains = louder[:, :1] / plain[:, :1]
    torch.testing.assert_close(louder, plain * gains, atol=1e-5, rtol=0)
    assert 0.49 < float(gains.min()) < 0.53
    assert 1.9 < float(gains.max()) < 2.01
    assert torch.equal(louder, excerpts.draw(400, seed=3, gain_db=6.0)[0])
    assert float(excerpts.draw(400, seed=3, gain_db=40.0)[0].abs().max()) == 1.0


def test_the_pitch_of_an_excerpt_is_that_of_its_place_in_the_recording(tmp_path: Path) -> None:
    """A sweep from 100 to 300 Hz: the frames of an excerpt have the F0 that the recording has there."""
    times = torch.arange(32000) / 16000
    sweep = torch.sin(2 * math.pi * (100 * times + 50 * times.square())) * 0.5
    path = Waveform.of(sweep, 16000).save(tmp_path / "sweep.wav")
    excerpts = VocoderSegments([Utterance(path, "a", "train", 2.0)], 16000, 1600, MelSpec())
    samples, pitch = excerpts.draw(5, seed=1)
    assert pitch is not None
    assert pitch.values.shape == (5, 11, 2)
    whole = pitch_frames(Waveform.of(excerpts.recordings[0], 16000), MelSpec()).values[0]
    for row, contour in zip(samples, pitch.values, strict=True):
        start = next(i for i in range(0, 32000, 160) if torch.equal(excerpts.recordings[0][i : i + 1600], row))
        assert torch.equal(contour, whole[start // 160 : start // 160 + 11])
