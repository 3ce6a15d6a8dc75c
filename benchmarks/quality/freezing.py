"""Freezing strategies compared: what each costs, and how good the tuned model is, by minutes of speech.

    pip install "vczoo[eval]"
    python -m benchmarks.quality.freezing --data CLEAN5 --keep FOLDER
    python -m benchmarks.quality.freezing --data CLEAN5 --keep FOLDER --part whisper-tiny-decoder --set start=RUN
    python -m benchmarks.quality.freezing --data CLEAN5 --keep FOLDER --part efficientnet-speaker \\
        --set backbone.weights=FILE
    python -m benchmarks.quality.freezing --draw

CLEAN5 is LibriSpeech train-clean-5, `<speaker>/*.ogg`. Each seed has a voice of its own, a reader who was kept out of
the training of `base`; for speaker recognition, all readers are told apart. The same command goes on after an
interruption. Each measured cell is a row of freezing-cells.csv; freezing.csv and the pictures are made from these rows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import vczoo
from benchmarks.lib.child_process import child_environment
from benchmarks.quality.freezing_cells import Notebook, Scorer, Tuning, recognition_scores
from benchmarks.quality.freezing_data import speaker_lists, voice_lists
from benchmarks.quality.freezing_page import PAGE, update_page
from benchmarks.quality.freezing_plots import draw
from benchmarks.quality.freezing_strategies import ENROLLED, PARTS, Part
from benchmarks.quality.freezing_table import CELLS, SUMMARY, merge_rows, read_rows, rows_of, summary, write_rows
from vczoo.models.resolve import nest
from vczoo.runs.run import is_run

RESULTS = Path(__file__).resolve().parents[1] / "results"
DOCS = Path(__file__).resolve().parents[2] / "docs"
MINUTES = (1.0, 0.5, 3.0)  # in the order of their use
SEEDS = (0, 1, 2)
VOICES = ("19", "8629", "6272")  # of each seed, in turn
EVERYBODY = "all"


def arguments_of(command_line: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the readers: 19/*.ogg and so on")
    parser.add_argument("--keep", type=Path, help="a folder for the runs, and for what is known of them")
    parser.add_argument("--part", choices=PARTS, default="base")
    parser.add_argument("--set", action="append", default=[], help="an override of all recipes, like training.epochs=8")
    parser.add_argument("--strategy", action="append", default=[], help="by default all")
    parser.add_argument("--minutes", type=float, action="append", default=[], help=f"by default {MINUTES}")
    parser.add_argument("--seed", type=int, action="append", default=[], help=f"by default {SEEDS}")
    parser.add_argument("--voice", action="append", default=[], help=f"the voice of each seed; by default {VOICES}")
    parser.add_argument("--asr", default="faster-whisper:tiny.en", help="the speech recognizer")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--apart", action="store_true", help="time cells one by one, without a cache, instead")
    parser.add_argument("--draw", action="store_true", help="only make the table and the pictures from the cells")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the tables")
    parser.add_argument("--docs", type=Path, default=DOCS, help=f"the folder of {PAGE} and assets/")
    arguments = parser.parse_args(command_line)
    if not arguments.draw and not (arguments.data and arguments.keep):
        parser.error("--data and --keep are needed, unless --draw is given")
    if unknown := set(arguments.strategy) - set(PARTS[arguments.part].strategies):
        parser.error(f"no such strategy: {', '.join(sorted(unknown))}; {', '.join(PARTS[arguments.part].strategies)}")
    return arguments


def main(command_line: list[str] | None = None) -> None:
    arguments = arguments_of(command_line)
    if not arguments.draw:
        torch.set_num_threads(arguments.threads)
        bench = FreezingBench(arguments)
        bench.apart() if arguments.apart else bench.run()
    publish(arguments.results, arguments.docs)


def publish(results: Path, docs: Path) -> None:
    """Make freezing.csv, the page's tables and the pictures from the rows of freezing-cells.csv."""
    if rows := read_rows(results / CELLS):
        table = summary(rows, {part.name: part.default for part in PARTS.values()})
        write_rows(results / SUMMARY, table)
        if (docs / PAGE).is_file():
            update_page(docs / PAGE, table)
        draw(table, docs / "assets")


class FreezingBench:
    """The cells of one part, from the command line's arguments."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, whole = arguments, PARTS[arguments.part]
        chosen = {n: values for n, values in whole.strategies.items() if n in (arguments.strategy or whole.strategies)}
        self.part = Part(whole.name, whole.recipe, whole.default, chosen, whole.converts)
        self.keep = (arguments.keep / whole.name).resolve()
        self.notebook = Notebook(self.keep / "notebook.json")
        self.common = nest(arguments.set)
        self.recipes = self.part.write_recipes(self.keep / "recipes", self.common)
        self._tunings: dict[str, Tuning] = {}
        self._scorers: dict[str, Scorer] = {}
        self._measures: vczoo.Measures | None = None

    def run(self) -> None:
        """Train and measure all cells that are missing, one amount and seed after another."""
        try:
            for minutes, seed in self.rounds():
                self.run_round(minutes, seed)
        finally:  # an interruption, too, leaves the rows of what is measured
            if self.records:
                self.write()

    def run_round(self, minutes: float, seed: int) -> None:
        """Train and measure the missing cells of one amount of speech and one seed."""
        tuning = self.tuning(seed)
        runs = tuning.runs(minutes, seed)
        open_cells = {name: run for name, run in runs.items() if self.key(name, minutes, seed) not in self.records}
        if not open_cells:
            return
        if self.part.converts and self.key(ENROLLED, minutes, seed) not in self.records:
            start = self.common.get("start", "base")
            scratch = self.keep / "enrolled"
            enrolled = self.scorer(seed).enrolled(start, self.part, minutes, seed, scratch)
            self.notebook.add(enrolled)
        tuning.fill_cache(minutes, seed)
        tuning.train(minutes, seed)
        for strategy, run in open_cells.items():
            if is_run(run):  # otherwise the cell failed, and the sweep's table says why
                with self.notebook.timed(f"{self.part.name}: measuring"):
                    scores = self.scores(run, seed)
                self.notebook.add(tuning.record(strategy, minutes, seed, run, scores))

    @property
    def records(self) -> dict[str, Any]:
        """The measured cells by key."""
        return self.notebook.records

    def rounds(self) -> Iterator[tuple[float, int]]:
        """The amounts of speech with the seeds."""
        for minutes in self.arguments.minutes or MINUTES:
            for seed in self.arguments.seed or SEEDS:
                yield minutes, seed

    def key(self, strategy: str, minutes: float, seed: int) -> str:
        """The key of a cell's record."""
        return f"{self.part.name}/{strategy}/{minutes:g}/{seed}"

    def tuning(self, seed: int) -> Tuning:
        """The sweep that a seed's cells are in: that of its voice."""
        names = self.arguments.voice or list(VOICES)
        voice = names[seed % len(names)] if self.part.converts else EVERYBODY
        if voice not in self._tunings:
            folder, data = self.keep / voice, self.arguments.data
            lists = (
                voice_lists(data, voice, folder / "lists")
                if self.part.converts
                else speaker_lists(data, sorted(p.name for p in data.iterdir() if p.is_dir()), folder / "lists")
            )
            cache = self.keep / "cache"
            self._tunings[voice] = Tuning(self.part, voice, lists, folder / "sweep", self.recipes, cache, self.notebook)
        return self._tunings[voice]

    def scorer(self, seed: int) -> Scorer:
        """What measures the conversions into a seed's voice."""
        tuning = self.tuning(seed)
        if self._measures is None:
            self._measures = vczoo.load_measures(asr=[self.arguments.asr], naturalness=False)
        if tuning.voice not in self._scorers:
            self._scorers[tuning.voice] = Scorer(tuning.voice, tuning.lists, self._measures)
        return self._scorers[tuning.voice]

    def scores(self, run: Path, seed: int) -> dict[str, Any]:
        """Measure a run: its conversions, or its recognition of speakers."""
        if self.part.converts:
            return self.scorer(seed).scores(vczoo.load(run))
        return recognition_scores(run, self.tuning(seed).lists.manifest)

    def write(self) -> None:
        """Put the rows of the measured cells into freezing-cells.csv, and keep those of other cells there."""
        path = self.arguments.results / CELLS
        write_rows(path, merge_rows(read_rows(path), rows_of(self.records.values())))
        for kind, spent in self.notebook.spent.items():
            print(f"{kind}: {spent['cpu_seconds']:.0f} s of CPU time, {spent['wall_seconds']:.0f} s", flush=True)

    def apart(self) -> None:
        """Train the cells one by one with `vczoo train --no-cache`, and print the seconds of each and of its cell."""
        kind = f"{self.part.name}: one by one, without a cache"
        for minutes, seed in self.rounds():
            tuning = self.tuning(seed)
            for strategy, run in tuning.runs(minutes, seed).items():
                out = self.keep / "apart" / f"{strategy}-{minutes:g}-{seed}"
                if out.is_dir():
                    continue
                command = [sys.executable, "-m", "vczoo", "train", str(self.recipes[strategy]), "--no-cache"]
                command += ["--data", str(tuning.lists.manifest), "--out", str(out), "--minutes", f"{minutes:g}"]
                before = self.notebook.spent.get(kind, {}).get("cpu_seconds", 0.0)
                with self.notebook.timed(kind):
                    environment = child_environment() | {"OMP_NUM_THREADS": str(self.arguments.threads)}
                    subprocess.run([*command, f"training.seed={seed}"], env=environment, check=True)
                alone = self.notebook.spent[kind]["cpu_seconds"] - before
                print(f"{strategy} {minutes:g} {seed}: {alone:.1f} s of CPU time alone, in the sweep", end=" ")
                print(f"{self.notebook.cpu_seconds.get(str(run), float('nan')):.1f}", flush=True)


if __name__ == "__main__":
    main()
