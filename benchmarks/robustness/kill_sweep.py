"""Kill -9 over a sweep with two processes, run again until it ends, and compared with one that nobody killed.

    python -m benchmarks.robustness.kill_sweep --kills 10

Counted as failures: processes that are left a minute after a kill, a sweep.json that cannot be read, a sweep that
cannot be continued, and cells with other weights than without a kill. Linux only.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.lib.child_process import ROOT, child_environment
from benchmarks.robustness.attack import (
    SMALL,
    read_options,
    report,
    running_on,
    same,
    seeded,
    weights,
    work_folder,
    write_corpus,
)

GRID = "training.seed=1,2,3"
PATIENCE_SECONDS = 60.0


def started(data: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the sweep."""
    command = [sys.executable, "-m", "vczoo", "sweep", "demo", "--grid", GRID, "--measure", "accuracy", "--jobs", "2"]
    rest = ["--data", str(data), "--out", str(out), "--device", "cpu", *SMALL, "training.epochs=4"]
    return subprocess.Popen(
        [*command, *rest], cwd=ROOT, env=child_environment(1), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the attack; the exit status is 1 if something failed."""
    options = read_options(__doc__, arguments, kills=10, seed=0)
    place, random, counts = work_folder("sweep"), seeded(options.seed), Counter[str]()
    data, failures = write_corpus(place / "data"), 0
    began = time.monotonic()
    whole = started(data, place / "whole")
    assert whole.wait() == 0, whole.stderr and whole.stderr.read()
    seconds = time.monotonic() - began
    expected = {cell.name: weights(cell) for cell in (place / "whole" / "cells").iterdir()}
    while counts["kills"] < options.kills:
        out = place / f"sweep-{counts['sweeps']}"
        counts["sweeps"] += 1
        while True:
            process = started(data, out)
            kill = counts["kills"] < options.kills
            try:
                _, errors = process.communicate(timeout=random.uniform(0, seconds) if kill else None)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                counts["kills"] += 1
                killed_at = time.monotonic()
                while running_on(out) and time.monotonic() - killed_at < PATIENCE_SECONDS:
                    time.sleep(0.05)
                left = len(running_on(out))
                counts["processes left"] += left
                failures += bool(left)
                if (out / "sweep.json").is_file():
                    json.loads((out / "sweep.json").read_text())
                continue
            if process.returncode:
                failures += 1
                print(errors.decode()[-2000:], file=sys.stderr)
            break
        cells = {cell.name: weights(cell) for cell in (out / "cells").iterdir()}
        equal = cells.keys() == expected.keys() and all(same(cells[name], expected[name]) for name in cells)
        counts["sweeps with the same weights"] += equal
        failures += not equal
    shutil.rmtree(place, ignore_errors=True)
    return report("kill_sweep", counts, failures)


if __name__ == "__main__":
    sys.exit(main())
