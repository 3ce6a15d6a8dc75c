from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from vczoo.errors import VczooError
from vczoo.ui.listening_test import ListeningTest, wilson_interval


@pytest.fixture
def abx(tmp_path: Path) -> ListeningTest:
    systems = {name: tmp_path / f"{name}.wav" for name in ("base", "tuned")}
    return ListeningTest(systems, "hello", tmp_path / "answers.csv", seed=1)


def test_wilson_intervals_by_hand() -> None:
    assert wilson_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


@pytest.mark.parametrize(("successes", "count"), [(1, 0), (0, 0), (3, 2), (-1, 2)])
def test_impossible_shares_are_refused(successes: int, count: int) -> None:
    with pytest.raises(VczooError, match="a share takes 1 trial or more"):
        wilson_interval(successes, count)


def test_trials_are_balanced_and_blind(abx: ListeningTest) -> None:
    drawn = Counter(abx.next_trial() for _ in range(400))
    assert len(drawn) == 4
    assert all(count > 60 for count in drawn.values())


def test_every_answer_is_in_the_file(abx: ListeningTest) -> None:
    for _ in range(3):
        trial = abx.next_trial()
        assert abx.answer(trial.x)
    trial = abx.next_trial()
    assert not abx.answer("B" if trial.x == "A" else "A")
    with abx.csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["correct"] for row in rows] == ["1", "1", "1", "0"]
    assert [row["trial"] for row in rows] == ["1", "2", "3", "4"]
    assert {row["sentence"] for row in rows} == {"hello"}
    assert abx.summary() == ("base and tuned: 3 of 4 right, 95% interval 30% to 95%; guessing would explain it.")


def test_an_answer_needs_a_trial_and_is_a_or_b(abx: ListeningTest) -> None:
    with pytest.raises(VczooError, match="no trial to answer"):
        abx.answer("A")
    abx.next_trial()
    with pytest.raises(VczooError, match="X is A or B"):
        abx.answer("C")


def test_one_system_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(VczooError, match="two voices or more"):
        ListeningTest({"base": tmp_path / "a.wav"}, "hello", tmp_path / "answers.csv")


def test_names_are_no_formulas(tmp_path: Path) -> None:
    abx = ListeningTest({"=1+1": tmp_path / "a", "b": tmp_path / "b"}, "@x", tmp_path / "answers.csv", seed=0)
    abx.answer(abx.next_trial().x)
    assert ",=1+1" not in abx.csv.read_text()
    assert ",@x" not in abx.csv.read_text()
