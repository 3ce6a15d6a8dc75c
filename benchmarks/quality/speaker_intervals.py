"""Intervals over speakers of figures that another benchmark measured: what other speakers would change.

    python -m benchmarks.quality.speaker_intervals benchmarks/results/base_model.json

The intervals in the tables are over trials, as if the speakers were the only ones. Here, speakers are drawn with
replacement; a trial counts as often as its source speaker was drawn, times as often as its target was (the pigeonhole
bootstrap of Owen 2007, arXiv:0705.4020, with one list for both roles). With four or six speakers, that is a rough
estimate, and rather too narrow than too wide.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.systems import print_rows

RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)
Trials = Sequence[Mapping[str, Any]]


def interval(trials: Trials, amounts: Sequence[float], sizes: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The 95% interval of sum of amounts over sum of sizes; resamples without any trial are drawn again.

    Args:
        trials: Each trial's `source_speaker` and `voice`, the target.
        amounts: One number per trial, such as its similarity, or its wrong words.
        sizes: One number per trial, such as 1, or its words.
        seed: Seed of the draws.
    """
    speakers = sorted({str(trial[role]) for trial in trials for role in ("source_speaker", "voice")})
    sources, targets = (
        np.array([speakers.index(trial[role]) for trial in trials]) for role in ("source_speaker", "voice")
    )
    random, rates = np.random.default_rng(seed), []
    while len(rates) < RESAMPLES:
        drawn = np.bincount(random.integers(0, len(speakers), len(speakers)), minlength=len(speakers))
        weights = drawn[sources] * drawn[targets]
        if (size := weights @ np.asarray(sizes, float)) > 0:
            rates.append(weights @ np.asarray(amounts, float) / size)
    low, high = np.percentile(rates, PERCENTILES)
    return float(low), float(high)


def rows(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """The table: a line per system, each figure with its interval."""
    lines = []
    for system in report["systems"]:
        trials = [trial for trial in system["trials"] if "compute_seconds" in trial and "asr" in trial]
        if not trials:
            continue
        line = {"system": system["system"]}
        ones = [1.0] * len(trials)
        for title, key in (("to target", "similarity_to_target"), ("DNSMOS", "dnsmos_overall")):
            line[title] = text([trial[key] for trial in trials], ones, trials)
        for name in trials[0]["asr"]:
            counts = [trial["asr"][name] for trial in trials]
            line[f"WER, {name}"] = text([c["word_errors"] for c in counts], [c["words"] for c in counts], trials)
        lines.append(line)
    return lines


def text(amounts: Sequence[float], sizes: Sequence[float], trials: Trials) -> str:
    """A figure with its interval."""
    low, high = interval(trials, amounts, sizes)
    return f"{sum(amounts) / sum(sizes):.3f} ({low:.3f} to {high:.3f})"


def main(command_line: list[str] | None = None) -> None:
    """Print the table of the conversions in the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="what benchmarks.quality.base_model wrote")
    results = json.loads(parser.parse_args(command_line).results.read_text(encoding="utf-8"))
    print_rows(rows(results["conversion"]))


if __name__ == "__main__":
    main()
