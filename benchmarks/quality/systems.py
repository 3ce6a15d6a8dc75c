"""Conversion systems, trained, enrolled and measured on a fixed trial list.

There are two lists in benchmarks/trials. `vctk-mini`: four speakers of VCTK. Each target's first eight utterances are
for fine-tuning or matching, and the other speakers' last two are the sources, in all ordered pairs. `clean5-kept-out`:
the six readers of LibriSpeech train-clean-5 that `base_model_corpus.py` keeps out of training, all ordered pairs, one
sentence each, with about 70 s of each target.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import vczoo
from vczoo.conversion.evaluate import draw, setup_of
from vczoo.evaluation.leakage import leakage_notes

LISTS = Path(__file__).resolve().parents[1] / "trials"
SETS = ("vctk-mini", "clean5-kept-out")
RECOGNISERS = ("faster-whisper:tiny.en", "moonshine")  # two families, since a content backbone may be a Whisper
Convert = Callable[[vczoo.Trial, vczoo.Waveform], vczoo.Waveform]


@dataclass(frozen=True)
class System:
    """A row of the table, built only when it is measured."""

    name: str
    convert: Convert
    recipe: vczoo.Recipe
    finetune_seconds: float
    notes: tuple[str, ...] = ()


class Bench:
    """The data of a benchmark, and the folder where trained models and conversions stay.

    Args:
        data: Folder of the recordings, as the paths in the lists expect it.
        keep: Folder for trained models and conversions.
        name: Name of the trial list, one of `SETS`.
    """

    def __init__(self, data: Path, keep: Path, name: str = SETS[0]) -> None:
        self.data, self.keep = data, keep
        self.list, manifest = LISTS / f"{name}.csv", LISTS / f"{name}-manifest.csv"
        self.keep.mkdir(parents=True, exist_ok=True)
        self.manifest = vczoo.place_manifest(manifest, data, keep / "targets.csv")
        self.references = vczoo.read_references(manifest, data)
        self.voices = sorted(self.references.matching)

    @property
    def trials(self) -> tuple[vczoo.Trial, ...]:
        """Sources outside all matching sets, each with a target."""
        return vczoo.read_trials(self.list, root=self.data, references=self.references)

    def enrolled(self, converter: vczoo.Converter) -> Convert:
        """Enroll each target from its matching set, without training."""
        for voice in self.voices:
            converter.enroll(voice, list(self.references.matching[voice]))
        return lambda trial, source: converter.convert(source, trial.voice)

    def tuned_to_each(self, start: str | Path, name: str, overrides: Sequence[str]) -> dict[str, vczoo.Converter]:
        """A recipe or a run, tuned to each target separately."""
        return {
            voice: self.trained(start, self.of(voice), self.keep / f"{name}-{voice}", overrides)
            for voice in self.voices
        }

    def of(self, voice: str) -> Path:
        """Write the manifest of one target and return its path."""
        with self.manifest.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        place = self.keep / f"{voice}.csv"
        with place.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *(row for row in rows if row[header.index("speaker")] == voice)])
        return place

    def measure(
        self, evaluation: vczoo.Evaluation, scores: list[vczoo.Scores], makers: Iterable[Callable[[], System]]
    ) -> vczoo.Report:
        """Build each system, convert with it and add its scores; write its WAV files and the table to the folder."""
        report = vczoo.Report(tuple(scores), setup_of(evaluation, self.list))
        for make in makers:
            began = time.perf_counter()
            system = make()
            conversions = evaluation.convert(system.convert)
            notes = (*system.notes, *leakage_notes(system.recipe, evaluation.measures))
            seconds = system.finetune_seconds
            scores.append(evaluation.score(system.name, conversions, finetune_seconds=seconds, notes=notes))
            folder = self.keep / "converted" / system.name.replace(", ", "-")
            for trial, wave in zip(evaluation.trials, conversions.waves, strict=True):
                wave.save(folder / f"{trial.name}.wav", overwrite=True)
            draw(evaluation, scores, conversions, folder)
            # Written after each row, so that an interruption loses none.
            report = vczoo.Report(tuple(scores), report.setup)
            report.write(self.keep)
            print(f"{system.name}: measured in {time.perf_counter() - began:.0f} s", flush=True)
        return report

    @staticmethod
    def trained(start: str | Path, data: Path, out: Path, overrides: Sequence[str]) -> vczoo.Converter:
        """The run in `out`, trained now if it is missing or unfinished."""
        if (out / "vczoo.yaml").is_file():
            return vczoo.load(out)
        unfinished = (out / "checkpoint.safetensors").is_file()
        # No cache from an earlier run, because the seconds are reported.
        return vczoo.finetune(
            start, data, out, overrides, rehearse=isinstance(start, str), resume=unfinished, cache=False
        )


def by_own(converters: Mapping[str, vczoo.Converter]) -> Convert:
    """A system that converts into each target with the converter that was tuned to it."""
    return lambda trial, source: converters[trial.voice].convert(source, trial.voice)


def mean_seconds(converters: Mapping[str, vczoo.Converter]) -> float:
    """The mean seconds of one fine-tune."""
    return sum(converter.metrics["seconds"] for converter in converters.values()) / len(converters)


@torch.inference_mode()
def resynthesize(model: Any, _: vczoo.Trial, wave: vczoo.Waveform) -> vczoo.Waveform:
    """A source resynthesized by a model's vocoder from its mel."""
    resampled = wave.resample(model.sample_rate_hz)
    copy: vczoo.Waveform = model.synthesize(model.acoustic(resampled), model.pitch(resampled))
    return copy


def print_rows(rows: Sequence[Mapping[str, str]]) -> None:
    """Print a table with one line per row; the titles are the first row's keys."""
    table = Table(box=None, pad_edge=False)
    for title in rows[0]:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    Console(width=250).print(table, highlight=False, markup=False)


def print_report(report: vczoo.Report) -> None:
    """Print the table and its footnotes."""
    print_rows(report.rows("measure"))
    print("\n".join(report.footnotes()))
