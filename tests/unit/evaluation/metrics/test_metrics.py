"""The numbers of an evaluation, against numbers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vczoo import Waveform
from vczoo.errors import UnknownNameError
from vczoo.evaluation.metrics.bootstrap import RESAMPLES, Figure, figure, stratified
from vczoo.evaluation.metrics.f0_contour import compare_contours, f0_contour
from vczoo.evaluation.metrics.mel_cepstral_distortion import ALPHA, FFT_LENGTH, distortion_db, mel_cepstrum, warping
from vczoo.evaluation.metrics.verification import centroid, equal_error_rate, genuine_scores
from vczoo.evaluation.metrics.word_errors import Errors, count_errors, load_normalizer, normalise
from vczoo.evaluation.report import Report, Scores


def test_a_mean_has_the_interval_of_its_seed() -> None:
    values = [0.1, 0.5, 0.6, 0.8]
    found = figure(values, seed=3)
    drawn = np.random.default_rng(3).integers(0, 4, (RESAMPLES, 4))
    low, high = np.percentile(np.array(values)[drawn].mean(axis=1), (2.5, 97.5))
    assert found == Figure(pytest.approx(0.5), pytest.approx(low), pytest.approx(high), 4)
    assert figure(values, seed=3) == found != figure(values, seed=4)


def test_a_rate_is_of_sums_not_a_mean_of_rates() -> None:
    # 1 of 2 words and 1 of 8: .2 of all words, though the mean of the rates is .3125.
    found = figure([1, 1], [2, 8])
    assert found is not None
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.125), pytest.approx(0.5))


def test_a_figure_of_nothing_is_none_and_of_equals_has_no_width() -> None:
    assert figure([]) is None
    assert figure([1.0], [0.0]) is None
    assert figure([0.7] * 5) == Figure(*[pytest.approx(0.7)] * 3, 5)


def test_strata_count_alike_however_many_trials_they_have() -> None:
    strata = [np.zeros((1, 2)), np.ones((9, 2))]
    found = stratified(strata, lambda _, rows: float(rows.mean()))
    assert found == Figure(0.5, 0.5, 0.5, 10)
    assert stratified([], lambda _, rows: 0.0) is None


def test_a_single_trial_has_no_interval(tmp_path: Path) -> None:
    alone = figure([0.7])
    same_recording = figure([0.7, 0.7], groups=["hello.wav", "hello.wav"])
    one_per_voice = stratified([np.array([[0.7]]), np.array([[0.7]])], lambda _, rows: float(rows.mean()))
    for measured in (alone, same_recording, one_per_voice):
        assert measured is not None
        assert measured.value == pytest.approx(0.7)
        assert np.isnan([measured.low, measured.high]).all()
    assert alone is not None
    report = Report((Scores("mine", "system", {"similarity_to_target": alone}),))
    assert report.rows() == [{"system": "mine", "to target ↑": "0.700"}]
    written = json.loads(report.write(tmp_path).read_text("utf-8"))
    assert written["systems"][0]["figures"]["similarity_to_target"] == {
        "value": 0.7,
        "low": None,
        "high": None,
        "count": 1,
    }


@pytest.mark.parametrize(
    ("genuine", "impostor", "rate"),
    [
        ([0.8, 0.9], [0.1, 0.2], 0.0),  # told apart
        ([0.1, 0.2], [0.8, 0.9], 1.0),  # more like the target than the target
        ([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4], 0.5),  # the same
        ([0.4, 0.6, 0.7, 0.8], [0.1, 0.2, 0.3, 0.5], 0.25),  # at .5, one of four of each is on the wrong side
        ([0.5], [0.5], 0.5),
    ],
)
def test_the_equal_error_rate_of_known_scores(genuine, impostor, rate) -> None:
    assert equal_error_rate(np.array(genuine), np.array(impostor)) == pytest.approx(rate)


def test_the_equal_error_rate_of_many_normal_scores_is_that_of_their_distance() -> None:
    random = np.random.default_rng(0)
    found = equal_error_rate(random.normal(1, 1, 20000), random.normal(-1, 1, 20000))
    assert found == pytest.approx(0.1587, abs=0.005)  # the normal distribution's tail past 1 deviation


def test_genuine_pairs_are_of_different_recordings() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    assert genuine_scores(rows) == pytest.approx([0.0, 0.6, 0.8])
    assert centroid(rows[:2]) == pytest.approx([2**-0.5, 2**-0.5])
    assert centroid(np.array([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx([0.0, 0.0])


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("It's a Test,  isn\u2019t it?", "its a test isnt it"),
        ("well-known [laughs] (noise) 2 pounds", "well known 2 pounds"),
        ("\u00dcber \ufb01ne", "\u00fcber fine"),
        ("...", ""),
    ],
)
def test_normalising_takes_out_what_is_spelt_differently(text, plain) -> None:
    assert normalise(text) == plain


def test_word_and_character_errors_by_hand() -> None:
    pytest.importorskip("jiwer")
    # "cat" for "bat" and "down" left out: 2 of 4 words; 1 + 5 (with its space) of 16 characters.
    assert count_errors("The bat sat down.", "the cat sat") == Errors(2, 4, 6, 16)
    assert count_errors("a b", "a b") == Errors(0, 2, 0, 3)
    assert count_errors("", "two words") == Errors(2, 0, 9, 0)
    assert count_errors("two words", "") == Errors(2, 2, 9, 9)


def test_whispers_normalizer_unifies_numbers_spellings_and_contractions() -> None:
    pytest.importorskip("jiwer")
    pytest.importorskip("whisper_normalizer")
    said, heard = "It's twenty five colours.", "um, it is 25 colors"
    assert count_errors(said, heard).words > 0
    assert count_errors(said, heard, load_normalizer("whisper-english")).words == 0
    with pytest.raises(UnknownNameError, match="no text normalizer is called 'whisper'; did you mean"):
        load_normalizer("whisper")


def test_a_contour_that_is_moved_keeps_its_correlation() -> None:
    first = 200 * 2 ** (np.sin(np.arange(100) / 10) / 12)
    first[40:50] = 0  # unvoiced
    moved = compare_contours(first, first * 2 ** (5 / 12))
    assert moved is not None
    assert (moved.correlation, moved.rmse_semitones) == (pytest.approx(1), pytest.approx(0, abs=1e-9))
    assert moved.shift_semitones == pytest.approx(5)


def test_contour_errors_of_known_contours() -> None:
    wave = np.tile([1.0, -1.0], 20)
    first, second = 200 * 2 ** (wave / 12), 100 * 2 ** (3 * wave / 12)
    found = compare_contours(first, second)
    assert found is not None
    # One swings by 1 semitone, the other by 3: they differ by 2 everywhere.
    assert (found.correlation, found.rmse_semitones) == (pytest.approx(1), pytest.approx(2))
    assert found.shift_semitones == pytest.approx(-12)
    opposite = compare_contours(first, 200 * 2 ** (-wave / 12))
    assert opposite is not None
    assert opposite.correlation == pytest.approx(-1)


def test_a_whisper_has_no_contour_to_compare() -> None:
    assert compare_contours(np.zeros(100), np.full(100, 100.0)) is None
    assert compare_contours(np.full(100, 100.0), np.full(100, 100.0)) is None  # flat


def test_the_tracker_finds_a_tone() -> None:
    time = np.arange(16000) / 16000
    tone = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20))
    f0_hz = f0_contour(Waveform.of(torch.from_numpy(0.1 * tone), 16000))
    assert len(f0_hz) == 101
    assert np.median(f0_hz[f0_hz > 0]) == pytest.approx(150, rel=0.01)
    assert (f0_contour(Waveform.of(torch.zeros(16000), 16000)) == 0).all()


def test_the_warping_is_an_all_pass() -> None:
    """Half of a cosine in the log magnitude: its image under the all-pass is a geometric series (and SPTK's sp2mc)."""
    power = np.exp(np.cos(np.linspace(0, np.pi, FFT_LENGTH // 2 + 1)) + 0.5)
    expected = [0.25 + 0.5 * ALPHA, *(0.5 * (1 - ALPHA**2) * (-ALPHA) ** m for m in range(13))]
    assert np.log(power) @ warping() == pytest.approx(expected, abs=1e-9)


def speech(seed: int, gain: float = 1.0) -> Waveform:
    """(1, 8000): harmonics of 120 Hz up to half the rate, each as loud as the seed says."""
    random = np.random.default_rng(seed)
    time = np.arange(8000) / 16000
    gains = np.exp(random.normal(0, 1, 66)) / np.arange(1, 67)
    samples = sum(g * np.sin(2 * np.pi * 120 * (k + 1) * time) for k, g in enumerate(gains))
    return Waveform.of(torch.from_numpy(gain * 0.05 * samples), 16000)


def test_distortion_is_0_with_itself_and_does_not_hear_loudness() -> None:
    pytest.importorskip("librosa")
    assert distortion_db(speech(0), speech(0)) == 0
    assert distortion_db(speech(0), speech(0, gain=0.25)) == pytest.approx(0, abs=0.05)
    assert distortion_db(speech(0), speech(1)) > 3


def test_distortion_is_the_formula_of_the_cepstra(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("librosa")
    one, other = np.zeros((5, 14)), np.zeros((7, 14))
    one[:, 0], other[:, 0] = 9.0, -9.0  # c0 counts for nothing
    other[:, 3], other[:, 13] = 0.3, 0.4
    cepstra = iter([one, other])
    monkeypatch.setattr("vczoo.evaluation.metrics.mel_cepstral_distortion.mel_cepstrum", lambda wave: next(cepstra))
    assert distortion_db(speech(0), speech(1)) == pytest.approx(10 / np.log(10) * np.sqrt(2 * 0.25))


def test_a_gain_moves_c0_alone() -> None:
    loud, soft = mel_cepstrum(speech(0)), mel_cepstrum(speech(0, gain=0.5))
    middle = slice(20, -20)
    assert (loud - soft)[middle, 0] == pytest.approx(np.log(2), abs=1e-3)
    assert np.abs((loud - soft)[middle, 1:]).max() < 1e-2
