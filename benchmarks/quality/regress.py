"""Regression of recipes: measures cheap recipes again, and compares with the figures in `recipes/expected/`.

    python -m benchmarks.quality.regress                   # all cheap recipes; exit status 1 if a figure has moved
    python -m benchmarks.quality.regress demo base         # only these
    python -m benchmarks.quality.regress demo --write      # measure, and replace the expected figures

Sentences of vowels, which are made here, need no data. With `--vctk FOLDER` (four VCTK speakers, p225 to p228; the
default is `shared/data/vctk-mini` beside the repository, if it is there), recipes are measured on speech, too.

A figure is compared with an expected one of the same trial list. TOLERANCE says how far it may move, and
`docs/decisions/0086-expected-figures.md` how that was chosen.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import soundfile
import torch

import vczoo
from tests.conftest import SPEAKERS, synthetic_utterance
from vczoo.conversion.evaluate import evaluate
from vczoo.evaluation.measures import Measures, load_measures
from vczoo.evaluation.results import Result, append_results, read_results

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = ROOT / "recipes" / "expected"
TRIALS = ROOT / "benchmarks" / "trials"
VCTK = ROOT.parent / "shared" / "data" / "vctk-mini"
UTTERANCES = 8  # of each made speaker; the last two are for the test, the one before for validation


class Case(NamedTuple):
    """A recipe on a set of recordings.

    Attributes:
        recipe: Name of the recipe.
        data: `vowels`, which are made here, or `vctk`.
        train: Whether it is fine-tuned, rather than used as it is with enrolled voices.
    """

    recipe: str
    data: str
    train: bool


class Tolerance(NamedTuple):
    """How far a figure may be from the expected one: without training, and after a fine-tune."""

    enrolled: float
    trained: float


CASES = (
    Case("demo", "vowels", train=True),
    Case("demo-knn", "vowels", train=True),
    Case("base", "vowels", train=False),
    Case("base-film", "vowels", train=True),
    Case("base", "vctk", train=False),
)
TOLERANCE = {
    "similarity_to_target": Tolerance(0.005, 0.035),
    "similarity_to_source": Tolerance(0.005, 0.03),
    "f0_correlation": Tolerance(0.02, 0.3),
    "mcd_db": Tolerance(0.1, 0.5),
    "wer": Tolerance(0.02, 0.05),
}


class Material(NamedTuple):
    """Recordings to train on or to enroll, and a trial list.

    Attributes:
        manifest: Manifest of the recordings.
        root: Folder that its paths are relative to.
        trials: Trial list.
        measures: Measuring models.
    """

    manifest: Path
    root: Path
    trials: Path
    measures: Measures


def make_vowels(folder: Path) -> Material:
    """Write sentences of vowels by three made speakers, their manifest, and a trial list that is always the same."""
    rows, trials = ["path,speaker,split"], ["source,source_speaker,voice,parallel"]
    names = list(SPEAKERS)
    for name, (f0_hz, formants) in SPEAKERS.items():
        (folder / name).mkdir(parents=True)
        for number in range(UTTERANCES):
            samples = synthetic_utterance(number, f0_hz, formants)
            soundfile.write(folder / name / f"{number}.wav", samples, 16000, subtype="PCM_16")
            split = "test" if number >= UTTERANCES - 2 else "validation" if number == UTTERANCES - 3 else "train"
            rows.append(f"{name}/{number}.wav,{name},{split}")
        for voice in names:
            if voice != name:
                trials += [f"{name}/{n}.wav,{name},{voice},{voice}/{n}.wav" for n in (UTTERANCES - 2, UTTERANCES - 1)]
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "vowels.csv").write_text("\n".join(trials) + "\n", encoding="utf-8")
    return Material(folder / "manifest.csv", folder, folder / "vowels.csv", _measures(asr=()))


def vctk(folder: Path) -> Material:
    """The frozen trial list of four VCTK speakers, with words by Moonshine."""
    return Material(TRIALS / "vctk-mini-manifest.csv", folder, TRIALS / "vctk-mini.csv", _measures(asr=("moonshine",)))


@cache
def _measures(asr: tuple[str, ...]) -> Measures:
    return load_measures(asr=asr, naturalness=False)


def measure(case: Case, material: Material, overrides: Sequence[str] = ()) -> list[Result]:
    """Train a recipe or enroll voices in it, and measure it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = folder / "manifest.csv"
        # A manifest's paths are relative to itself, and the frozen ones are in another folder than the recordings.
        heading, *lines = material.manifest.read_text(encoding="utf-8").splitlines()
        manifest.write_text("\n".join([heading, *(f"{material.root / line}" for line in lines)]) + "\n")
        if case.train:
            converter = vczoo.finetune(
                case.recipe, manifest, folder / case.recipe, overrides, device="cpu", cache=False, progress=False
            )
        else:
            converter = vczoo.load(case.recipe, overrides, device="cpu")
        evaluate(
            converter,
            material.trials,
            root=material.root,
            references=manifest,
            measures=material.measures,
            results=folder / "results.csv",
        )
        return read_results(folder / "results.csv")


def deviations(case: Case, expected: Sequence[Result], measured: Sequence[Result]) -> list[str]:
    """Describe each figure of a recipe that is missing, or further from the expected one than its tolerance.

    Nothing is compared if no figure on a trial list of this name is expected yet.
    """
    figures = {one.figure: one for one in measured if one.role == "system"}
    own = [one for one in expected if one.role == "system" and one.trials == measured[0].trials]
    if any(one.trials_sha256 != measured[0].trials_sha256 for one in own):
        return [f"{case.recipe}, {case.data}: {measured[0].trials} is another list than it was; measure with --write"]
    compared = [one for one in own if one.figure in TOLERANCE]
    faults = []
    for one in compared:
        now = figures.get(one.figure)
        if now is None:
            faults.append(f"{case.recipe}, {case.data}: {one.figure} is missing, expected {one.value:.4f}")
            continue
        allowed = TOLERANCE[one.figure].trained if case.train else TOLERANCE[one.figure].enrolled
        if not abs(now.value - one.value) <= allowed:
            faults.append(
                f"{case.recipe}, {case.data}: {one.figure} is {now.value:.4f}, expected {one.value:.4f} ± {allowed}"
            )
    return faults


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted({case.recipe for case in CASES})
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=f"of {', '.join(names)}; default: all")
    parser.add_argument("--vctk", type=Path, default=VCTK, help="a folder with VCTK's p225 to p228")
    parser.add_argument("--write", action="store_true", help="replace the expected figures by the measured ones")
    options = parser.parse_args(words)
    if unknown := sorted(set(options.recipes) - set(names)):
        parser.error(f"no case of {', '.join(unknown)}; choose from {', '.join(names)}")
    torch.set_num_threads(1)
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        materials = {"vowels": make_vowels(Path(folder) / "vowels")}
        if options.vctk.is_dir():
            materials["vctk"] = vctk(options.vctk)
        chosen = [case for case in CASES if not options.recipes or case.recipe in options.recipes]
        for case in chosen:
            if case.data not in materials:
                print(f"{case.recipe}, {case.data}: not measured, because {options.vctk} is not there", flush=True)
                continue
            measured = measure(case, materials[case.data])
            file = EXPECTED / f"{case.recipe}.csv"
            expected = read_results(file) if file.exists() else []
            if options.write:
                _replace(file, expected, measured)
                print(f"{case.recipe}, {case.data}: written to {file}", flush=True)
                continue
            if not any(one.trials == measured[0].trials for one in expected):
                print(f"{case.recipe}, {case.data}: nothing is expected yet; measure with --write", flush=True)
            elif moved := deviations(case, expected, measured):
                print("\n".join(moved), flush=True)
                faults += moved
            else:
                print(f"{case.recipe}, {case.data}: as expected", flush=True)
    return int(bool(faults))


def _replace(file: Path, expected: Sequence[Result], measured: Sequence[Result]) -> None:
    """Write measured figures, with the expected ones of other trial lists."""
    digests = {one.trials_sha256 for one in measured}
    others = [one for one in expected if one.trials_sha256 not in digests]
    file.unlink(missing_ok=True)
    append_results(file, [*others, *measured])


if __name__ == "__main__":
    sys.exit(main())
