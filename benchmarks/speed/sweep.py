"""Sweep time: cells that share the output of frozen stages, against the same cells trained one by one without sharing.

    python -m benchmarks.speed.sweep --data SPEAKERS
    python -m benchmarks.speed.sweep --data SPEAKERS --recipe vgg16-partialfreeze --jobs 4 training.epochs=10

The rows are whole commands, from start to end. Each cell has the same recipe, seed, minutes and epochs in all of them:

train apart    `vczoo train`, one cell after another, each with its own empty cache: the baseline
sweep          `vczoo sweep` with an empty cache, one cell at a time
sweep, jobs    the same, `--jobs` at a time, on as many threads in total; shared stages run first

The table also has the number of recordings that frozen stages were run on, as counted in the caches, and whether the
cells of all rows reached the same test figures. Similarity is not measured, because `vczoo train` does not measure it.
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


def encoded(cache: Path) -> int:
    """The number of recordings that frozen stages were run on; each further run counts again."""
    from safetensors import safe_open

    count = 0
    for shard in cache.glob("**/*.safetensors"):
        with safe_open(shard, framework="pt") as file:
            if "depth" in json.loads((file.metadata() or {})["key"]):
                count += sum(not name.endswith("#") for name in file.keys())  # noqa: SIM118 - no mapping
    return count


def timed(command: list[str], threads: int) -> float:
    """Run a vczoo command and return its seconds.

    Raises:
        SystemExit: The command failed.
    """
    began = time.perf_counter()
    environment = {**child_environment(), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-m", "vczoo", *command], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"vczoo {' '.join(command)} failed:\n{done.stderr}")
    return time.perf_counter() - began


def test_figures(run: Path) -> dict[str, float]:
    """The figures of a run on its test split."""
    return dict(json.loads((run / "metrics.json").read_text())["test"])


def main() -> None:
    """Run the rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder SPEAKER/*.wav")
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--grid", action="append", help=f"as for vczoo sweep; by default {' '.join(GRID)}")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/sweep.json"))
    parser.add_argument("settings", nargs="*", help=f"KEY=VALUE; by default {' '.join(SETTINGS)}")
    arguments = parser.parse_args()
    from vczoo.training.sweeps.cells import cells_of
    from vczoo.training.sweeps.grid import read_grid, shown

    settings = arguments.settings or SETTINGS
    grid = arguments.grid or GRID
    cells = cells_of(arguments.recipe, settings, read_grid(grid))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        common = ["--data", str(arguments.data), *settings]
        seconds = 0.0
        for number, cell in enumerate(cells):
            own = [f"{axis}={shown(value)}" for axis, value in cell.settings.items() if axis != "minutes"]
            minutes = [] if cell.minutes is None else ["--minutes", str(cell.minutes)]
            where = ["--out", str(place / "apart" / cell.name), "--cache", str(place / "cache-apart" / str(number))]
            seconds += timed(["train", arguments.recipe, *common, *own, *minutes, *where], arguments.threads)
        rows.append({"row": "train apart", "seconds": seconds, "encoded": encoded(place / "cache-apart")})
        for jobs in (1, arguments.jobs):
            out, cache = place / f"sweep-{jobs}", place / f"cache-{jobs}"
            options = ["--jobs", str(jobs), "--measure", "accuracy", "--out", str(out), "--cache", str(cache)]
            axes = [word for axis in grid for word in ("--grid", axis)]
            seconds = timed(["sweep", arguments.recipe, *axes, *common, *options], arguments.threads)
            rows.append({"row": f"sweep, jobs {jobs}", "seconds": seconds, "encoded": encoded(cache)})
            rows[-1]["same figures"] = all(
                abs(value - test_figures(out / "cells" / cell.name)[figure]) < 1e-3
                for cell in cells
                for figure, value in test_figures(place / "apart" / cell.name).items()
            )
    title = f"{arguments.recipe}, {len(cells)} cells ({' x '.join(grid)}), {' '.join(settings)}"
    print(f"{title}, {arguments.threads} threads")
    print("| | s | ratio | recordings encoded | same figures |\n|---|---|---|---|---|")
    for row in rows:
        row["ratio"] = rows[0]["seconds"] / row["seconds"]
        same = {None: "", True: "yes", False: "no"}[row.get("same figures")]
        print(f"| {row['row']} | {row['seconds']:.1f} | {row['ratio']:.2f} | {row['encoded']} | {same} |")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"grid": grid, "settings": settings, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
