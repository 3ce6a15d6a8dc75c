"""Kill -9, SIGHUP and SIGTERM of `vczoo train --processes 2`, of the command and of torchrun. Linux only.

    python -m benchmarks.robustness.kill_team --kills 4

Counted as failures: a process that is left a minute later, a checkpoint that is written after all have ended, and one
that cannot be read.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.lib.child_process import ROOT, child_environment
from benchmarks.robustness.attack import SMALL, read_options, report, running_on, work_folder, write_corpus
from vczoo.training.checkpoints.checkpoint import CHECKPOINT
from vczoo.training.checkpoints.checkpoint_file import read_checkpoint

HOW = (
    ("command", signal.SIGKILL),
    ("command", signal.SIGHUP),
    ("torchrun", signal.SIGKILL),
    ("command", signal.SIGTERM),
)
PATIENCE_SECONDS = 60.0


def main(arguments: list[str] | None = None) -> int:
    """Run the attack; the exit status is 1 if something failed."""
    options = read_options(__doc__, arguments, kills=4)
    place, counts = work_folder("team"), Counter[str]()
    data, failures, slowest = write_corpus(place / "data"), 0, 0.0
    for number in range(options.kills):
        out = place / f"run-{number}"
        victim, how = HOW[number % len(HOW)]
        settings = [*SMALL, "training.epochs=5000", "training.patience=5000"]
        command = ["train", "demo", "--data", str(data), "--out", str(out), "--processes", "2", "--device", "cpu"]
        process = subprocess.Popen(
            [sys.executable, "-m", "vczoo", *command, *settings],
            cwd=ROOT,
            env=child_environment(1),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not (out / "metrics.jsonl").is_file() and process.poll() is None:
            time.sleep(0.05)
        torchrun = next(pid for pid in running_on(out) if b"vczoo.cli.launch" in _command(pid))
        os.kill(process.pid if victim == "command" else torchrun, how)
        process.wait()
        began = time.monotonic()
        while running_on(out) and time.monotonic() - began < PATIENCE_SECONDS:
            time.sleep(0.05)
        slowest = max(slowest, time.monotonic() - began)
        left = running_on(out)
        written = (out / CHECKPOINT).stat().st_mtime_ns
        time.sleep(2.0)
        written_later = (out / CHECKPOINT).stat().st_mtime_ns != written
        counts[f"{how.name} of the {victim}"] += 1
        counts["processes left"] += len(left)
        counts["written later"] += written_later
        failures += bool(left) + written_later
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        state, _ = read_checkpoint(out / CHECKPOINT)
        counts["checkpoints that can be resumed"] += state["epoch"] >= 0
    shutil.rmtree(place, ignore_errors=True)
    return report("kill_team", {**counts, "slowest end in seconds": round(slowest, 1)}, failures)


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    sys.exit(main())
