"""Cells of the freezing bench: trained by `vczoo.sweep`, then measured, each once; an interrupted bench goes on.

A cell is a strategy, an amount of speech and a seed. The cells of one seed and amount are trained together, so that an
interrupted bench has whole columns of its table.
"""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import vczoo
from benchmarks.quality.freezing_data import Lists
from benchmarks.quality.freezing_strategies import ENROLLED, Part
from vczoo.data.corpus_reader import read_corpus
from vczoo.io.files import write_text
from vczoo.runs.run import is_run
from vczoo.training.sweeps.cells import cells_of
from vczoo.training.sweeps.grid import read_grid

RUN_FILES = ("vczoo.yaml", "model.safetensors", "voices.safetensors", "metrics.json")


@dataclass(frozen=True)
class Record:
    """The figures of one cell.

    Attributes:
        part, strategy, minutes, seed, voice: Which cell it is; `minutes` is the most speech it may train on.
        minutes_used: The minutes it did train on, per speaker.
        similarities, word_errors, words: One number for each conversion.
        right: For each recording, 1 if its speaker was recognized, else 0.
        cpu_seconds: CPU time of the cell's process, with imports; None if it is unknown.
        seconds: Wall time of training.
        bytes: Size of the run's files that a conversion needs.
        trainable_parameters: The number of parameters that trained.
        epochs: The number of epochs.
    """

    part: str
    strategy: str
    minutes: float
    seed: int
    voice: str
    minutes_used: float
    cpu_seconds: float | None
    seconds: float
    bytes: int
    trainable_parameters: int
    epochs: int
    similarities: list[float] = field(default_factory=list)
    word_errors: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)

    @property
    def key(self) -> str:
        """A name that no other cell has."""
        return f"{self.part}/{self.strategy}/{self.minutes:g}/{self.seed}"


class Notebook:
    """What is known of the cells so far, in a file that is replaced after each change.

    Attributes:
        records: The measured cells by key.
        cpu_seconds: CPU seconds of each trained cell's process, by the path of its run.
        spent: CPU and wall seconds of each kind of work.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        self.records = {key: Record(**values) for key, values in content.get("records", {}).items()}
        self.cpu_seconds: dict[str, float] = content.get("cpu_seconds", {})
        self.spent: dict[str, dict[str, float]] = content.get("spent", {})

    def save(self) -> None:
        """Replace the file."""
        records = {key: asdict(record) for key, record in self.records.items()}
        content = {"records": records, "cpu_seconds": self.cpu_seconds, "spent": self.spent}
        write_text(self.path, json.dumps(content, indent=1) + "\n")

    def add(self, record: Record) -> None:
        """Add the record of a cell, and save."""
        self.records[record.key] = record
        self.save()

    @contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        """Add the time of a block to that of its kind of work, and save."""
        wall, cpu = time.perf_counter(), time.process_time() + children_cpu_seconds()
        try:
            yield
        finally:
            sums = self.spent.setdefault(kind, {"wall_seconds": 0.0, "cpu_seconds": 0.0})
            sums["wall_seconds"] += time.perf_counter() - wall
            sums["cpu_seconds"] += time.process_time() + children_cpu_seconds() - cpu
            self.save()


def children_cpu_seconds() -> float:
    """CPU seconds of all processes that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Tuning:
    """The cells of one part and voice: a sweep into a folder.

    Args:
        part: The part.
        voice: The voice that is tuned to, or a name for all speakers.
        lists: The recordings.
        folder: The sweep's folder.
        recipes: The recipe's file of each strategy.
        cache: The folder of the feature cache, which all sweeps share.
        notebook: Where the times are kept.
    """

    def __init__(
        self,
        part: Part,
        voice: str,
        lists: Lists,
        folder: Path,
        recipes: Mapping[str, Path],
        cache: Path,
        notebook: Notebook,
    ) -> None:
        self.part, self.voice, self.lists, self.folder = part, voice, lists, folder
        self.recipes, self.cache, self.notebook = recipes, cache, notebook

    def runs(self, minutes: float, seed: int) -> dict[str, Path]:
        """The folder of each strategy's run."""
        cells = cells_of(None, {}, read_grid(self._grid(minutes, seed)))
        by_recipe = {cell.source: self.folder / "cells" / cell.name for cell in cells}
        return {strategy: by_recipe[str(file)] for strategy, file in self.recipes.items()}

    def train(self, minutes: float, seed: int) -> None:
        """Train the cells that are missing. An interrupted cell begins again, so that its seconds are complete."""
        runs = self.runs(minutes, seed)
        missing = [run for run in runs.values() if not is_run(run)]
        if not missing:
            return
        for run in missing:
            shutil.rmtree(run, ignore_errors=True)
        before = children_cpu_seconds()

        def say(line: str) -> None:
            nonlocal before
            print(line, flush=True)
            for run in [run for run in missing if is_run(run) and str(run) not in self.notebook.cpu_seconds]:
                self.notebook.cpu_seconds[str(run)] = children_cpu_seconds() - before
                self.notebook.save()
            before = children_cpu_seconds()

        with self.notebook.timed(f"{self.part.name}: training"):
            grid = self._grid(minutes, seed)
            vczoo.sweep(
                None, self.lists.manifest, self.folder, grid, measures=["loss"], cache=self.cache, device="cpu", say=say
            )

    def fill_cache(self, minutes: float, seed: int) -> None:
        """Run the frozen stages of the default strategy and of the frozen backbone, unless a cell has done so.

        They run before the time of any cell is taken, which would otherwise depend on the order of the cells.
        """
        if any(map(is_run, self.runs(minutes, seed).values())):
            return
        for strategy in sorted({self.part.default, "heads"} & set(self.recipes)):
            out = self.folder.with_name(f"{self.folder.name}-fill")
            shutil.rmtree(out, ignore_errors=True)
            with self.notebook.timed(f"{self.part.name}: filling the cache"):
                overrides = ["training.epochs=1", f"training.seed={seed}"]
                vczoo.finetune(
                    self.recipes[strategy],
                    self.lists.manifest,
                    out,
                    overrides,
                    minutes=minutes,
                    cache=self.cache,
                    device="cpu",
                    progress=False,
                )
            shutil.rmtree(out)

    def record(self, strategy: str, minutes: float, seed: int, run: Path, scores: Mapping[str, Any]) -> Record:
        """The record of a trained cell."""
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        used = metrics["training_minutes"].values()
        return Record(
            self.part.name,
            strategy,
            minutes,
            seed,
            self.voice,
            round(sum(used) / len(used), 3),
            self.notebook.cpu_seconds.get(str(run)),
            metrics["seconds"],
            sum((run / name).stat().st_size for name in RUN_FILES if (run / name).is_file()),
            metrics["trainable_parameters"],
            metrics["epochs"],
            **scores,
        )

    def _grid(self, minutes: float, seed: int) -> dict[str, Sequence[Any]]:
        return {"recipe": [str(file) for file in self.recipes.values()], "minutes": [minutes], "seed": [seed]}


class Scorer:
    """Measures the conversions into one voice.

    Args:
        voice: The voice.
        lists: The trials, and the real speech that conversions are compared with.
        measures: The measuring models.
    """

    def __init__(self, voice: str, lists: Lists, measures: vczoo.Measures) -> None:
        self.voice, self.lists, self.measures = voice, lists, measures

    @cached_property
    def evaluation(self) -> vczoo.Evaluation:
        """The evaluation of the voice's trials."""
        assert self.lists.references
        assert self.lists.trials
        references = vczoo.read_references(self.lists.references)
        trials = vczoo.read_trials(self.lists.trials, references=references)
        return vczoo.Evaluation(trials, references, self.measures)

    def scores(self, converter: vczoo.Converter) -> dict[str, Any]:
        """Convert the trials and measure each conversion."""
        conversions = self.evaluation.convert(lambda trial, source: converter.convert(source, trial.voice))
        rows = self.evaluation.score(converter.recipe.name, conversions).trials
        return {
            "similarities": [round(row["similarity_to_target"], 5) for row in rows],
            "word_errors": [row["asr"][self.measures.recognisers[0].name]["word_errors"] for row in rows],
            "words": [row["asr"][self.measures.recognisers[0].name]["words"] for row in rows],
        }

    def enrolled(self, start: str | Path, part: Part, minutes: float, seed: int, folder: Path) -> Record:
        """The record of the model that is not tuned: the voice is enrolled from the recordings of a cell."""
        corpus = read_corpus(self.lists.manifest).within(minutes, seed)
        converter = vczoo.load(start)
        wall, cpu = time.perf_counter(), time.process_time()
        converter.enroll(self.voice, [utterance.path for utterance in corpus.split("train")])
        spent = time.process_time() - cpu, time.perf_counter() - wall
        shutil.rmtree(folder, ignore_errors=True)
        converter.save(folder)
        size = (folder / "voices.safetensors").stat().st_size
        shutil.rmtree(folder)
        used = round(corpus.training_seconds()[self.voice] / 60, 3)
        return Record(
            part.name, ENROLLED, minutes, seed, self.voice, used, *spent, size, 0, 0, **self.scores(converter)
        )


def recognition_scores(run: Path, manifest: Path) -> dict[str, Any]:
    """Which of the test recordings a run gave to the right speaker, from its own accuracy on them."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    count = len(read_corpus(manifest).split("test"))
    right = round(metrics["test"]["speaker.accuracy"] * count)
    return {"right": [1] * right + [0] * (count - right)}
