"""Trainings on disks that fill up, with every number of bytes, and on a read-only one.

    python -m benchmarks.robustness.full_disk --sizes 12

The limit is RLIMIT_FSIZE, the most bytes of one file, or with --tmpfs a file system of so many bytes, which needs the
right to mount. Counted as failures: an exception that is no VczooError, a folder that neither resumes nor starts
afresh, and a half or hidden file.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import vczoo
from benchmarks.robustness.attack import (
    FINISHED,
    RAW,
    REFUSED,
    SMALL,
    fork,
    report,
    wait,
    work_folder,
    write_corpus,
)
from vczoo.cli import app
from vczoo.errors import RunError
from vczoo.training.checkpoints.checkpoint import CHECKPOINT

SETTINGS = (*SMALL, "training.epochs=2")
LARGEST_BYTES = 120_000  # of a file: all of them fit


def main(arguments: list[str] | None = None) -> int:
    """Run the attack; the exit status is 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, default=12, help="number of sizes of the disk")
    parser.add_argument("--tmpfs", action="store_true", help="mount file systems, rather than limit files")
    options = parser.parse_args(arguments)
    place, counts = work_folder("full-disk"), Counter[str]()
    data, log, failures = write_corpus(place / "data"), place / "log", 0

    def train(out: Path, resume: bool = False) -> None:
        vczoo.finetune("demo", data, out, SETTINGS, cache=False, resume=resume, progress=False)

    actions: dict[str, Callable[[Path], object]] = {
        "train": train,
        "sweep": lambda out: vczoo.sweep("demo", data, out, ["training.seed=1"], SETTINGS, cache=False),
        "find-rate": lambda out: vczoo.find_learning_rate(
            "demo", data, SETTINGS, steps=60, out=out.with_suffix(".png"), cache=False, progress=False
        ),
        "copy": lambda out: app.copy("demo", out.with_suffix(".yaml")),
    }
    train(place / "warm-up")  # here, so that children have imported everything

    def limited(action: Callable[[Path], object], out: Path, num_bytes: int) -> None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        if not options.tmpfs:
            resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
        try:
            action(out)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    for number in range(options.sizes):
        num_bytes = round(100 * (LARGEST_BYTES / 100) ** (number / max(1, options.sizes - 1)))
        for name in actions if number % 4 == 0 else ("train",):
            disk = place / f"disk-{number}-{name}"
            disk.mkdir()
            if options.tmpfs:
                size = f"size={4 * num_bytes}"
                subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], check=True)
            log.unlink(missing_ok=True)
            status = wait(fork(lambda a=actions[name], d=disk, n=num_bytes: limited(a, d / "out", n), log))
            outcome = {FINISHED: "fitted", REFUSED: "clear errors", RAW: "raw exceptions"}.get(status, "died")
            counts[outcome] += 1
            if outcome in {"raw exceptions", "died"}:
                failures += 1
                print(f"{name}, {num_bytes} bytes: {log.read_text() if log.is_file() else status}", file=sys.stderr)
            hidden = [path for path in disk.rglob(".*.partial") if path.is_file()]
            counts["hidden files left"] += len(hidden)
            failures += len(hidden)
            if name == "train" and outcome == "clear errors" and not options.tmpfs:
                out = disk / "out"
                try:
                    train(out, resume=(out / CHECKPOINT).is_file())
                    counts["finished later"] += 1
                except RunError as error:
                    failures += 1
                    print(f"train, {num_bytes} bytes, again: {error}", file=sys.stderr)
            if options.tmpfs:
                subprocess.run(["umount", str(disk)], check=True)
    with suppress(subprocess.CalledProcessError, FileNotFoundError):
        disk = place / "read-only"
        disk.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(disk)], check=True, capture_output=True
        )
        for name, action in actions.items():
            status = wait(fork(lambda a=action: a(disk / "out"), log))
            counts["read-only: clear errors"] += status == REFUSED
            failures += status != REFUSED
            if status != REFUSED:
                print(f"{name}, read-only: {log.read_text()}", file=sys.stderr)
        subprocess.run(["umount", str(disk)], check=True)
    shutil.rmtree(place, ignore_errors=True)
    return report("full_disk", counts, failures)


if __name__ == "__main__":
    sys.exit(main())
