"""Processes that read, fill and evict one cache far beyond its bound, as long as asked.

    python -m benchmarks.robustness.cache_bound --operations 82000

Counted as failures: a wrong value, an error, and a cache beyond its bound by more than a shard of each process.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmarks.robustness.attack import FINISHED, fork, read_options, report, seeded, wait, work_folder
from benchmarks.robustness.kill_cache import LIMIT_BYTES, VALUES, check, expected
from vczoo.training.features.cache import Cache

WORKERS = 4


def work(folder: Path, seed: int, operations: int) -> None:
    """Read or add tensors `operations` times, and check each value that was read."""
    random = seeded(seed)
    done = 0
    while done < operations:
        key = random.randrange(20)
        section = Cache(folder, LIMIT_BYTES).section({"key": key})
        for name in random.sample("abcd", 2):
            if name not in section:
                section.add({name: expected(key, name)})
            values = section[name] if name in section else expected(key, name)
            if values[0] != expected(key, name)[0] or values[-1] != values[0]:
                raise AssertionError(f"a wrong value of {key}/{name}")
            done += 1
        section.close()


def main(arguments: list[str] | None = None) -> int:
    """Run the attack; the exit status is 1 if something failed."""
    options = read_options(__doc__, arguments, operations=82_000, seed=0)
    place, random = work_folder("cache-bound"), seeded(options.seed)
    folder, largest, failures = place / "shared", 0, 0
    share = -(-options.operations // WORKERS)
    logs = [place / f"log-{number}" for number in range(WORKERS)]
    seeds = [random.randrange(2**32) for _ in logs]
    children = [fork(lambda s=seed: work(folder, s, share), log) for seed, log in zip(seeds, logs, strict=True)]
    for child, log in zip(children, logs, strict=True):
        if wait(child) != FINISHED:
            failures += 1
            print(log.read_text(), file=sys.stderr)
        largest = max(largest, sum(path.stat().st_size for path in folder.glob("*/*.safetensors")))
    read, wrong = check(folder)
    failures += wrong + (largest > LIMIT_BYTES + WORKERS * 2 * 4 * VALUES)
    shutil.rmtree(place, ignore_errors=True)
    counts = {"operations": share * WORKERS, "tensors read at the end": read, "wrong tensors": wrong}
    return report("cache_bound", {**counts, "limit": LIMIT_BYTES, "largest": largest}, failures)


if __name__ == "__main__":
    sys.exit(main())
