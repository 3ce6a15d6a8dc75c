"""Rates of what heads answer: worked examples, and the edit distance against jiwer's."""

from __future__ import annotations

import random

import pytest

from vczoo.modules.error_rates import edit_distance, label_recall, text_error_rates


def test_word_and_character_errors_are_of_all_texts_together() -> None:
    figures = text_error_rates([("one two three", "one too three"), ("four", ""), ("five", "five six")])
    assert figures == {"wer": pytest.approx(3 / 5), "cer": pytest.approx((1 + 4 + 4) / (13 + 4 + 4))}
    assert text_error_rates([("a", "b c d")])["wer"] == 3.0  # insertions count


def test_recall_is_the_mean_over_labels_whatever_their_number() -> None:
    said = [("calm", "calm")] * 8 + [("calm", "sad"), ("sad", "calm"), ("angry", "angry")]
    assert label_recall(said) == pytest.approx((8 / 9 + 0 + 1) / 3)


def test_the_distance_is_jiwers() -> None:
    jiwer = pytest.importorskip("jiwer")
    random_ = random.Random(0)
    for _ in range(200):
        right, given = (" ".join(random_.choices("abcd", k=random_.randint(1, 9))) for _ in range(2))
        words, characters = jiwer.process_words(right, given), jiwer.process_characters(right, given)
        for found, mine in (
            (words, edit_distance(right.split(), given.split())),
            (characters, edit_distance(right, given)),
        ):
            assert mine == found.substitutions + found.deletions + found.insertions
