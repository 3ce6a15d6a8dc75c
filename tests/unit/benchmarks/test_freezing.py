"""The freezing bench: its grid, its lists, and that it goes on where it was interrupted."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from benchmarks.quality import freezing, freezing_data
from benchmarks.quality.freezing import FreezingBench, arguments_of, publish
from benchmarks.quality.freezing_cells import Notebook, Record, Tuning
from benchmarks.quality.freezing_strategies import ENROLLED, PARTS, Part
from benchmarks.quality.freezing_table import read_rows
from vczoo.models.build import checked_recipe

FEWEST = 14  # strategies
RATE_HZ = 8000


@pytest.fixture
def readers(tmp_path: Path) -> Path:
    """<folder>/<reader>/<number>.wav: noise with a pause in its middle, for each reader of the trial list."""
    random = np.random.default_rng(0)
    samples = 0.1 * random.standard_normal(10 * RATE_HZ)
    samples[5 * RATE_HZ : 5 * RATE_HZ + RATE_HZ // 2] = 0
    for reader in freezing_data.voices():
        (tmp_path / "readers" / reader).mkdir(parents=True)
        for number in range(4):
            soundfile.write(tmp_path / "readers" / reader / f"{number}.wav", samples, RATE_HZ)
    return tmp_path / "readers"


@pytest.mark.parametrize("name", list(PARTS))
def test_every_part_has_enough_strategies_and_its_default_is_among_them(name: str) -> None:
    part = PARTS[name]
    assert len(part.strategies) >= FEWEST
    assert part.default in part.strategies
    assert "heads" in part.strategies  # of a frozen backbone, which fills the cache
    assert ENROLLED not in part.strategies


def test_the_recipes_are_valid_and_the_default_is_what_its_recipe_says(tmp_path: Path) -> None:
    part = PARTS["base"]
    files = part.write_recipes(tmp_path, {"training": {"epochs": 2}})
    recipes = {name: checked_recipe(str(file)) for name, file in files.items()}
    default = checked_recipe("base-partialfreeze")
    assert recipes[part.default].freezing == default.freezing
    assert {recipe.training.epochs for recipe in recipes.values()} == {2}
    assert recipes["lora"].training.learning_rate == checked_recipe("base-lora").training.learning_rate
    assert recipes["lora"].freezing == checked_recipe("base-lora").freezing


def test_the_lists_of_a_voice_keep_what_is_trained_on_from_what_is_measured(
    readers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing_data, "REFERENCE_SECONDS", 15.0)
    monkeypatch.setattr(freezing_data, "POOL_SECONDS", 9.0)
    lists = freezing_data.voice_lists(readers, "19", tmp_path / "lists")
    assert lists.references
    assert lists.trials
    with lists.references.open(newline="") as file:
        assert [Path(row["path"]).name for row in csv.DictReader(file)] == ["0.wav", "1.wav"]
    with lists.manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["split"] for row in rows] == ["validation", "validation", "train", "train"]
    assert {Path(row["path"]).name[0] for row in rows} == {"2", "3"}
    with lists.trials.open(newline="") as file:
        trials = list(csv.DictReader(file))
    assert {row["voice"] for row in trials} == {"19"}
    assert "19" not in {row["source_speaker"] for row in trials}


def test_too_little_speech_is_said(readers: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="19 has 0 s to train on besides what is measured"):
        freezing_data.voice_lists(readers, "19", tmp_path / "lists")
    with pytest.raises(SystemExit, match="no trials for 20; its voices: 118, 19"):
        freezing_data.voice_lists(readers, "20", tmp_path / "lists")


def test_the_lists_of_speaker_recognition_test_other_pieces(
    readers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing_data, "TEST_SECONDS", 8.0)
    lists = freezing_data.speaker_lists(readers, ["118", "19"], tmp_path / "lists")
    with lists.manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    of_one = [row["split"] for row in rows if row["speaker"] == "19"]
    assert of_one == ["test", "test", "validation", "validation", *["train"] * 4]
    assert len({row["path"] for row in rows}) == len(rows)


SMALL = Part(
    "small",
    "demo",
    "heads",
    {name: {"freezing": {"use": use}} for name, use in (("heads", "full"), ("everything", "none"))},
    converts=False,
)


class Pretended(FreezingBench):
    """A bench whose training writes the files of runs, and whose measurements are 0.5."""

    trained: list[tuple[float, int, Sequence[str]]]
    failing_seed: int | None = None

    def tuning(self, seed: int) -> Tuning:
        return _Pretended(self, seed)

    def scores(self, run: Path, seed: int) -> dict[str, Any]:
        if seed == self.failing_seed:
            raise KeyboardInterrupt
        return {"right": [1, 0]}


class _Pretended(Tuning):
    def __init__(self, bench: Pretended, seed: int) -> None:
        lists = freezing_data.Lists(bench.keep / "manifest.csv")
        folder = bench.keep / "sweep"
        super().__init__(bench.part, "all", lists, folder, bench.recipes, bench.keep / "cache", bench.notebook)
        self.bench = bench

    def fill_cache(self, minutes: float, seed: int) -> None:
        pass

    def train(self, minutes: float, seed: int) -> None:
        missing = {name: run for name, run in self.runs(minutes, seed).items() if not run.is_dir()}
        self.bench.trained.append((minutes, seed, list(missing)))
        for run in missing.values():
            run.mkdir(parents=True)
            self.notebook.cpu_seconds[str(run)] = 3.0
            metrics = {"seconds": 1.5, "trainable_parameters": 7, "epochs": 2, "training_minutes": {"a": 0.4, "b": 0.6}}
            (run / "metrics.json").write_text(json.dumps(metrics))
            (run / "vczoo.yaml").write_text("format: 1\n")


@pytest.fixture(autouse=True)
def a_small_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "small", SMALL)


def bench_of(tmp_path: Path) -> Pretended:
    command_line = ["--data", str(tmp_path), "--keep", str(tmp_path / "keep"), "--part", "small"]
    command_line += ["--results", str(tmp_path / "results"), "--minutes", "0.5", "--seed", "0", "--seed", "1"]
    bench = Pretended(arguments_of(command_line))
    bench.trained = []
    return bench


def test_an_interrupted_bench_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench_of(tmp_path)
    first.failing_seed = 1
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert [(minutes, seed) for minutes, seed, _ in first.trained] == [(0.5, 0), (0.5, 1)]
    assert len(first.records) == 2
    assert len(read_rows(tmp_path / "results" / freezing.CELLS)) == 2
    second = bench_of(tmp_path)
    second.run()
    assert second.trained == [(0.5, 1, [])]  # its cells are trained, but not measured
    assert len(second.records) == 4
    third = bench_of(tmp_path)
    third.run()
    assert third.trained == []
    rows = read_rows(tmp_path / "results" / freezing.CELLS)
    assert [(row["strategy"], row["seed"]) for row in rows] == [
        ("everything", 0),
        ("everything", 1),
        ("heads", 0),
        ("heads", 1),
    ]
    assert {row["minutes_used"] for row in rows} == {0.5}
    assert {row["cpu_seconds"] for row in rows} == {3.0}
    assert all(row["machine"] and "torch" in row["versions"] for row in rows)
    assert "small: measuring" in second.notebook.spent


def test_the_summary_and_the_pictures_are_made_from_the_cells(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    bench_of(tmp_path).run()
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "freezing-bench.md").write_text("Before.\n<!-- small: begin -->\nold\n<!-- small: end -->\nAfter.\n")
    publish(tmp_path / "results", docs)
    assert (docs / "freezing-bench.md").read_text(encoding="utf-8").splitlines() == [
        "Before.",
        "<!-- small: begin -->",
        "",
        "| minutes | strategy | seeds | accuracy | difference in accuracy | CPU, s | kB | parameters |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| 0.5 | everything | 2 | 0.500 [0.000, 1.000] | +0.000 [0.000, 0.000] | 3 | 0 | 7 |",
        "| 0.5 | heads | 2 | 0.500 [0.000, 1.000] |  | 3 | 0 | 7 |",
        "",
        "<!-- small: end -->",
        "After.",
    ]
    header = (tmp_path / "results" / freezing.SUMMARY).read_text(encoding="utf-8").splitlines()[0].split(",")
    for name in ("part", "strategy", "minutes", "accuracy_low", "wer_difference_high", "cpu_seconds", "bytes"):
        assert name in header
    for name in ("trainable_parameters", "machine", "versions"):
        assert name in header
    assert (docs / "assets" / "freezing-small.svg").is_file()


def test_the_notebook_keeps_records_and_times(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / "notebook.json")
    record = Record("base", "lora", 0.5, 1, "19", 0.45, 9.0, 12.0, 80_000, 66_000, 24, [0.8], [1], [9])
    with notebook.timed("training"):
        notebook.add(record)
    again = Notebook(tmp_path / "notebook.json")
    assert {key: asdict(value) for key, value in again.records.items()} == {"base/lora/0.5/1": asdict(record)}
    assert again.spent["training"]["wall_seconds"] >= 0


def test_unknown_strategies_and_missing_folders_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments_of(["--data", "x", "--keep", "y", "--strategy", "loro"])
    assert "no such strategy: loro" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        arguments_of([])
    assert "--data and --keep are needed" in capsys.readouterr().err
