"""Rates of what heads answer: worked examples, and the edit distance against jiwer's."""

from __future__ import annotations

import random

import pytest

from vczoo.evaluation.metrics.error_rates import edit_distance, rates
from vczoo.modules.interfaces.heads import Answer


def test_word_and_character_errors_are_of_all_texts_together() -> None:
    said = [("one two three", "one too three"), ("four", ""), ("five", "five six")]
    figures = rates([Answer("text", "text", right, given) for right, given in said])
    assert figures == {"text.wer": pytest.approx(3 / 5), "text.cer": pytest.approx((1 + 4 + 4) / (13 + 4 + 4))}
    assert rates([Answer("text", "text", "a", "b c d")])["text.wer"] == 3.0  # insertions count
    assert rates([]) == {}


def test_recall_is_the_mean_over_labels_whatever_their_number() -> None:
    said = [("calm", "calm")] * 8 + [("calm", "sad"), ("sad", "calm"), ("angry", "angry")]
    assert rates([Answer("mood", "label", right, given) for right, given in said]) == {
        "mood.recall": pytest.approx((8 / 9 + 0 + 1) / 3)
    }


def test_heads_are_told_apart() -> None:
    figures = rates([Answer("a", "text", "x", "x"), Answer("b", "text", "x", "y"), Answer("c", "label", "x", "y")])
    assert figures == {"a.wer": 0.0, "a.cer": 0.0, "b.wer": 1.0, "b.cer": 1.0, "c.recall": 0.0}


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
