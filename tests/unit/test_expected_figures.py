"""Expected figures of recipes: each file can be read, and a wrong figure is found."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.quality.regress import CASES, EXPECTED, TOLERANCE, Case, deviations
from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.evaluation.report import Scores
from vczoo.evaluation.results import Result, read_results, results_of
from vczoo.registry.zoo import list_models

ABOUT = {
    "measured_at": "2026-01-02T03:04:05Z",
    "recipe": "demo",
    "weights": "random",
    "weights_sha256": "ab" * 32,
    "trials": "vowels.csv",
    "trials_sha256": "cd" * 32,
    "trial_count": 12,
    "machine": "Linux x86_64, 2 cores, cpu",
    "versions": "python 3.11.2, vczoo 0.1.0",
    "threads": 1,
    "seed": 0,
    "speaker_model": "resemblyzer",
    "asr": "",
    "words_against": "",
}
ENROLLED, TRAINED = Case("demo", "vowels", train=False), Case("demo", "vowels", train=True)


def figures(**values: float) -> list[Result]:
    return results_of(
        [Scores("demo", "system", {name: Figure(value, 0, 1, 12) for name, value in values.items()})], ABOUT
    )


def test_a_figure_within_its_tolerance_is_as_expected() -> None:
    expected = figures(similarity_to_target=0.8, wer=0.1, real_time_factor=0.5)
    assert deviations(ENROLLED, expected, figures(similarity_to_target=0.804, wer=0.119, real_time_factor=9.0)) == []
    assert deviations(TRAINED, expected, figures(similarity_to_target=0.83, wer=0.14)) == []


def test_a_wrong_figure_fails() -> None:
    expected = figures(similarity_to_target=0.8, wer=0.1)
    assert deviations(ENROLLED, expected, figures(similarity_to_target=0.81, wer=0.1)) == [
        "demo, vowels: similarity_to_target is 0.8100, expected 0.8000 ± 0.005"
    ]
    assert len(deviations(TRAINED, expected, figures(similarity_to_target=0.9, wer=0.3))) == 2
    assert deviations(ENROLLED, expected, figures(similarity_to_target=float("nan"), wer=0.1))
    assert deviations(ENROLLED, expected, figures(similarity_to_target=0.8)) == [
        "demo, vowels: wer is missing, expected 0.1000"
    ]


def test_other_trials_are_not_compared() -> None:
    others = [replace(one, trials_sha256="ef" * 32) for one in figures(similarity_to_target=0.8)]
    (fault,) = deviations(ENROLLED, others, figures(similarity_to_target=0.8))
    assert fault == "demo, vowels: vowels.csv is another list than it was; measure with --write"
    assert deviations(ENROLLED, [], figures(similarity_to_target=0.8)) == []


def test_each_recipe_has_expected_figures() -> None:
    for case in CASES:
        assert case.recipe in list_models()
        expected = read_results(EXPECTED / f"{case.recipe}.csv")
        own = {one.figure for one in expected if one.role == "system" and one.trials == "vowels.csv"}
        assert {"similarity_to_target", "mcd_db"} <= own & set(TOLERANCE)
