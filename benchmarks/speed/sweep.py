"""A sweep, whose cells share what frozen stages give, against the same cells trained one after another without it.

    python -m benchmarks.speed.sweep --data SPEAKERS
    python -m benchmarks.speed.sweep --data SPEAKERS --recipe vgg16-partialfreeze --jobs 4 training.epochs=10

Rows, each of whole commands from their start to their end, each cell with the same recipe, seed, minutes and epochs:

train apart    `vczoo train`, a cell after the other, each with an empty cache of its own: the baseline
sweep          `vczoo sweep` with an empty cache, a cell at a time
sweep, jobs    the same, `--jobs` at a time, on as many threads in all; shared stages run first

Beside the time stands over how many recordings a prefix of frozen stages was run, as counted in the caches, and whether
the cells of all rows reached the same test figures. Similarity is not measured, which `vczoo train` does not do either.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.lib.child_process import child_environment

GRID = ["freezing.trainable_stages=0,1", "minutes=0.25,0.5,0.9"]
RECIPE = "efficientnet-speaker"
SETTINGS = ["backbone.weights=random", "training.epochs=5", "training.criterion=loss"]


def heard(cache: Path) -> int:
    """How many recordings a prefix of frozen stages was run over, those that were run twice counted twice."""
    from safetensors import safe_open

    count = 0
    for shard in cache.glob("**/*.safetensors"):
        with safe_open(shard, framework="pt") as file:
            if "depth" in json.loads((file.metadata() or {})["key"]):
                count += sum(not name.endswith("#") for name in file.keys())  # noqa: SIM118 - no mapping
    return count


def timed(command: list[str], threads: int) -> float:
    """Seconds that a command of vczoo takes.

    Raises:
        SystemExit: it failed.
    """
    began = time.perf_counter()
    environment = {**child_environment(), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-m", "vczoo", *command], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"vczoo {' '.join(command)} failed:\n{done.stderr}")
    return time.perf_counter() - began


def test_figures(run: Path) -> dict[str, float]:
    """What a run reached on its test split."""
    return dict(json.loads((run / "metrics.json").read_text())["test"])


def main() -> None:
    """Run the rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder SPEAKER/*.wav")
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--grid", action="append", help=f"as of vczoo sweep; by default {' '.join(GRID)}")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/sweep.json"))
    parser.add_argument("settings", nargs="*", help=f"KEY=VALUE; by default {' '.join(SETTINGS)}")
    asked = parser.parse_args()
    from vczoo.training.sweeps.cells import cells_of
    from vczoo.training.sweeps.grid import read_grid, shown

    settings = asked.settings or SETTINGS
    grid = asked.grid or GRID
    cells = cells_of(asked.recipe, settings, read_grid(grid))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        common = ["--data", str(asked.data), *settings]
        seconds = 0.0
        for number, cell in enumerate(cells):
            own = [f"{axis}={shown(value)}" for axis, value in cell.settings.items() if axis != "minutes"]
            minutes = [] if cell.minutes is None else ["--minutes", str(cell.minutes)]
            where = ["--out", str(place / "apart" / cell.name), "--cache", str(place / "cache-apart" / str(number))]
            seconds += timed(["train", asked.recipe, *common, *own, *minutes, *where], asked.threads)
        rows.append({"row": "train apart", "seconds": seconds, "heard": heard(place / "cache-apart")})
        for jobs in (1, asked.jobs):
            out, cache = place / f"sweep-{jobs}", place / f"cache-{jobs}"
            options = ["--jobs", str(jobs), "--measure", "accuracy", "--out", str(out), "--cache", str(cache)]
            words = [word for one in grid for word in ("--grid", one)]
            seconds = timed(["sweep", asked.recipe, *words, *common, *options], asked.threads)
            rows.append({"row": f"sweep, jobs {jobs}", "seconds": seconds, "heard": heard(cache)})
            rows[-1]["same figures"] = all(
                abs(value - test_figures(out / "cells" / cell.name)[figure]) < 1e-3
                for cell in cells
                for figure, value in test_figures(place / "apart" / cell.name).items()
            )
    print(f"{asked.recipe}, {len(cells)} cells ({' x '.join(grid)}), {' '.join(settings)}, {asked.threads} threads")
    print("| | s | ratio | recordings heard | same figures |\n|---|---|---|---|---|")
    for row in rows:
        row["ratio"] = rows[0]["seconds"] / row["seconds"]
        same = {None: "", True: "yes", False: "no"}[row.get("same figures")]
        print(f"| {row['row']} | {row['seconds']:.1f} | {row['ratio']:.2f} | {row['heard']} | {same} |")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps({"grid": grid, "settings": settings, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
