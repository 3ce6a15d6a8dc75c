"""Tables of the freezing bench: a row per cell, and their summary with 95% intervals over seeds and trials.

The intervals are percentiles of a bootstrap that draws seeds and, within each, trials (conversions, or recordings whose
speaker is recognized). A difference from the default strategy draws the same seeds and trials for both.
"""

from __future__ import annotations

import csv
import io
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vczoo.io.files import write_text

if TYPE_CHECKING:
    from benchmarks.quality.freezing_cells import Record

CELLS, SUMMARY = "freezing-cells.csv", "freezing.csv"
LISTED = ("similarities", "word_errors", "words", "right")  # columns of several numbers, one per trial
KEY = ("part", "strategy", "minutes", "seed")
QUALITIES = {"similarity": ("similarities", ""), "wer": ("word_errors", "words"), "accuracy": ("right", "")}
RESAMPLES = 2000
Row = dict[str, Any]
Resample = list[tuple[int, np.ndarray]]  # indices of seeds, each with indices of its trials


def machine() -> str:
    """The processor, the number of its cores and the system."""
    name = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def versions() -> str:
    """The versions of Python and of the libraries that the figures depend on."""
    libraries = ("vczoo", "torch", "resemblyzer", "faster-whisper")
    return " ".join([f"python {platform.python_version()}", *(f"{n} {metadata.version(n)}" for n in libraries)])


def rows_of(records: Iterable[Record]) -> list[Row]:
    """The rows of measured cells, with the machine and the versions."""
    about = {"machine": machine(), "versions": versions()}
    return [{**vars(record), **about} for record in records]


def merge_rows(before: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Rows with others in the place of those with the same key, sorted by key."""
    rows = {tuple(str(row[name]) for name in KEY): row for row in (*before, *new)}
    return [rows[key] for key in sorted(rows, key=lambda key: (key[0], float(key[2]), key[1], int(key[3])))]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV. A list is written as numbers with spaces between them, and None as nothing."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _shown(value) for name, value in row.items()})
    write_text(path, text.getvalue())


def read_rows(path: Path) -> list[Row]:
    """Read the rows of cells; none if there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: _read(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _read(name: str, text: str) -> Any:
    if name in LISTED:
        return [float(word) for word in text.split()]
    if name in {"part", "strategy", "voice", "machine", "versions"}:
        return text
    return None if not text else int(text) if name in {"seed", "bytes", "trainable_parameters"} else float(text)


def summary(rows: Sequence[Row], defaults: Mapping[str, str]) -> list[Row]:
    """One row per part, strategy and amount of speech, in the order of the rows.

    Args:
        rows: The rows of cells.
        defaults: The strategy of each part that the others are compared with.
    """
    groups: dict[tuple[str, str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["part"], row["strategy"], row["minutes"]), []).append(row)
    table = []
    for (part, strategy, minutes), cells in groups.items():
        default = groups.get((part, defaults[part], minutes), [])
        record: Row = {"part": part, "strategy": strategy, "minutes": minutes, "seeds": len(cells)}
        record["minutes_used"] = _mean(cells, "minutes_used")
        for quality in QUALITIES:
            record |= _figures(quality, cells, default if strategy != defaults[part] else [])
        for cost in ("cpu_seconds", "seconds", "bytes", "trainable_parameters", "epochs"):
            record[cost] = _mean(cells, cost)
        seconds = [cell["cpu_seconds"] for cell in cells if cell["cpu_seconds"] is not None]
        record |= {"cpu_seconds_low": min(seconds, default=None), "cpu_seconds_high": max(seconds, default=None)}
        record |= {name: "; ".join(dict.fromkeys(cell[name] for cell in cells)) for name in ("machine", "versions")}
        table.append(record)
    return table


def _figures(quality: str, cells: Sequence[Row], default: Sequence[Row]) -> Row:
    """A quality with its interval, its deviation over seeds, and its difference from the default."""
    names = ("", "_low", "_high", "_seeds_std", "_difference", "_difference_low", "_difference_high")
    empty = dict.fromkeys((quality + name for name in names), None)
    amounts, sizes = QUALITIES[quality]
    if not all(cell[amounts] for cell in cells):
        return empty
    of_seed = {cell["seed"]: _ratios(cell, amounts, sizes) for cell in cells}
    value, (low, high) = bootstrap(list(of_seed.values()))
    each = [rate(of_seed[seed], range(len(of_seed[seed]))) for seed in of_seed]
    spread = float(np.std(each, ddof=1)) if len(each) > 1 else None
    figures = [value, low, high, spread]
    base = {cell["seed"]: _ratios(cell, amounts, sizes) for cell in default if cell[amounts]}
    if shared := [seed for seed in of_seed if seed in base and len(base[seed]) == len(of_seed[seed])]:
        difference, ends = bootstrap([of_seed[seed] for seed in shared], [base[seed] for seed in shared])
        figures += [difference, *ends]
    return empty | dict(zip(empty, figures, strict=False))


def _ratios(cell: Row, amounts: str, sizes: str) -> np.ndarray:
    """Each trial's amount and size, (N, 2)."""
    return np.array([cell[amounts], cell[sizes] if sizes else np.ones(len(cell[amounts]))], dtype=float).T


def rate(trials: np.ndarray, drawn: Any) -> float:
    """The sum of the drawn trials' amounts over that of their sizes."""
    amount, size = trials[list(drawn)].sum(axis=0)
    return float(amount / max(size, 1e-9))


def bootstrap(
    seeds: Sequence[np.ndarray], minus: Sequence[np.ndarray] | None = None
) -> tuple[float, tuple[float | None, float | None]]:
    """The mean over seeds of a rate over trials, or of a difference of two, and the ends of its 95% interval.

    Args:
        seeds: For each seed an array (N, 2) with each trial's amount and size.
        minus: The same seeds and trials of what is subtracted.
    """
    random = np.random.default_rng(0)

    def mean(resample: Resample) -> float:
        rates = [rate(seeds[i], drawn) - (rate(minus[i], drawn) if minus else 0.0) for i, drawn in resample]
        return float(np.mean(rates))

    value = mean([(index, np.arange(len(trials))) for index, trials in enumerate(seeds)])
    if sum(map(len, seeds)) < 2:
        return value, (None, None)
    means = []
    for _ in range(RESAMPLES):
        chosen = random.integers(0, len(seeds), len(seeds))
        means.append(mean([(i, random.integers(0, len(seeds[i]), len(seeds[i]))) for i in chosen]))
    low, high = np.percentile(means, (2.5, 97.5))
    return value, (float(low), float(high))


def _mean(cells: Sequence[Row], name: str) -> float | None:
    values = [cell[name] for cell in cells if cell[name] is not None]
    return float(np.mean(values)) if values else None


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The indices of the points that no other point beats, the cheapest first.

    Args:
        points: Cost and quality of each point. A point is beaten by one that costs no more and is no worse, and is
            better in one of the two.
    """
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front
