"""Kills (SIGKILL) of processes that enroll voices and save over a run.

    python -m benchmarks.robustness.kill_save --kills 300

A forked process loads the run, enrolls a voice and saves it, again and again; every third time in half precision, so
that the model's file changes too. It is killed at a random moment of its first rounds. Then the run must load, it must
have every voice whose save had ended, and after one more save nothing but the run's four files may be left. Prints the
counts as JSON; the exit status is 1 if a run did not load, a voice was lost or a file was left.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import vczoo
from benchmarks.robustness.attack import wait
from benchmarks.robustness.forks import PLAIN, fork, read_all, report, single_thread, small_run, speech
from vczoo.runs.turn import changing

WAVE = speech()
FRESH_EVERY = 10  # kills, before the run is copied anew
ROUNDS = 3.0  # of loading, enrolling and saving; the kill comes in one of them


def save_for_ever(run: Path, prefix: str, pipe: int) -> None:
    """Enroll and save until killed; write each voice's name to the pipe once its save has ended."""
    number = 0
    while True:
        name = f"{prefix}-{number}"
        change(run, name, half=number % 3 == 2)
        os.write(pipe, f"{name}\n".encode())
        number += 1


def change(run: Path, name: str, *, half: bool) -> None:
    """Load a run, enroll a voice and save it."""
    with changing(run):
        converter = vczoo.load(run, device="cpu")
        converter.enroll(name, WAVE)
        converter.save(run, overwrite=True, half=half)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--run", type=Path, help="run to copy and save over; by default a small one is made")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    single_thread()
    chance = random.Random(options.seed)
    counts = {"kills": 0, "saved": 0, "unloadable": 0, "voices_lost": 0, "files_left": 0}
    with tempfile.TemporaryDirectory() as temporary:
        original = options.run or small_run(Path(temporary) / "original")
        run = Path(temporary) / "run"
        shutil.copytree(original, run)
        change(run, "warm-up", half=False)
        began = time.perf_counter()
        change(run, "timed", half=False)
        longest = ROUNDS * (time.perf_counter() - began)
        for kill in range(options.kills):
            if kill % FRESH_EVERY == 0:
                shutil.rmtree(run, ignore_errors=True)
                shutil.copytree(original, run)
            reader, writer = os.pipe()
            process = fork(lambda kill=kill, writer=writer: save_for_ever(run, f"v{kill}", writer))
            os.close(writer)
            time.sleep(chance.uniform(0, longest))
            os.kill(process, signal.SIGKILL)
            wait(process)
            saved = read_all(reader).split()
            counts["kills"] += 1
            counts["saved"] += len(saved)
            try:
                converter = vczoo.load(run, device="cpu")
            except vczoo.VczooError as error:
                sys.stderr.write(f"{error}\n")
                counts["unloadable"] += 1
                shutil.rmtree(run)
                shutil.copytree(original, run)
                continue
            counts["voices_lost"] += len(set(saved) - set(converter.voices))
            converter.save(run, overwrite=True)
            left = {path.name for path in run.iterdir()} ^ PLAIN
            counts["files_left"] += len(left - {"manifest.jsonl", ".change-lock"})
    return report(counts, ("unloadable", "voices_lost", "files_left"))


if __name__ == "__main__":
    sys.exit(main())
