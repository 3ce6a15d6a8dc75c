"""Two processes that enroll into one run at once, and a process that loads it while another one saves.

    python -m benchmarks.robustness.two_writers --pairs 60 --loads 300

Both commands of a pair must end well, and both voices must be in the run. Prints the counts as JSON; the exit status is
1 if a voice was lost or the run did not load.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import vczoo
from benchmarks.robustness.attack import wait
from benchmarks.robustness.forks import fork, report, single_thread, small_run, speech
from benchmarks.robustness.kill_save import save_for_ever
from vczoo.cli.voices import enroll


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--loads", type=int, default=300)
    parser.add_argument("--run", type=Path, help="run to copy and change; by default a small one is made")
    options = parser.parse_args()
    single_thread()
    counts = {"pairs": 0, "failed": 0, "voices_lost": 0, "unloadable": 0, "loads": 0, "loads_failed": 0}
    with tempfile.TemporaryDirectory() as temporary:
        original = options.run or small_run(Path(temporary) / "original")
        recording = speech().save(Path(temporary) / "speech.wav")
        run = Path(temporary) / "run"
        for _ in range(options.pairs):
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(original, run)
            names = ("left", "right")
            processes = [fork(lambda name=name: enroll(str(run), name, [recording], device="cpu")) for name in names]
            counts["pairs"] += 1
            counts["failed"] += sum(wait(process) != 0 for process in processes)
            try:
                counts["voices_lost"] += len(set(names) - set(vczoo.load(run, device="cpu").voices))
            except vczoo.VczooError as error:
                sys.stderr.write(f"{error}\n")
                counts["unloadable"] += 1
        shutil.rmtree(run, ignore_errors=True)
        null = os.open(os.devnull, os.O_WRONLY)
        process = 0
        for load in range(options.loads):
            if load % 50 == 0:  # with every voice the run becomes slower
                if process:
                    os.kill(process, signal.SIGKILL)
                    wait(process)
                shutil.rmtree(run, ignore_errors=True)
                shutil.copytree(original, run)
                process = fork(lambda: save_for_ever(run, "v", null))
            counts["loads"] += 1
            try:
                vczoo.load(run, device="cpu")
            except vczoo.VczooError as error:
                sys.stderr.write(f"{error}\n")
                counts["loads_failed"] += 1
        if process:
            os.kill(process, signal.SIGKILL)
            wait(process)
    return report(counts, ("failed", "voices_lost", "unloadable", "loads_failed"))


if __name__ == "__main__":
    sys.exit(main())
