"""Kill -9 over processes that fill and evict one cache that is too small for all of them.

    python -m benchmarks.robustness.kill_cache --kills 60

Each process reads and adds tensors whose values follow from their names, and checks every value that it reads.
Counted as failures: a wrong value, a process that ends by itself, and a cache beyond its bound by more than the shards
and the unfinished files of the processes that run.
"""

from __future__ import annotations

import shutil
import sys
import zlib
from collections import Counter
from pathlib import Path

import torch

from benchmarks.robustness.attack import FINISHED, fork, kill_after, read_options, report, seeded, work_folder
from vczoo.training.features.cache import Cache

LIMIT_BYTES = 4_000_000
VALUES = 100_000  # of a tensor: a shard takes 0.4 MB or more
WORKERS = 2


def expected(key: int, name: str) -> torch.Tensor:
    """The values of a tensor in a section."""
    return torch.full((VALUES,), float(zlib.crc32(f"{key}/{name}".encode())))


def work(folder: Path, seed: int) -> None:
    """Read and fill sections until it is killed."""
    random = seeded(seed)
    while True:
        key = random.randrange(20)
        section = Cache(folder, LIMIT_BYTES).section({"key": key})
        for name in random.sample("abcd", 2):
            if name not in section:
                section.add({name: expected(key, name)})
            if name in section and not torch.equal(section[name], expected(key, name)):
                raise AssertionError(f"a wrong value of {key}/{name}")
        section.close()


def check(folder: Path) -> tuple[int, int]:
    """The tensors that can be read from all sections, and how many of them are wrong."""
    count = wrong = 0
    for key in range(20):
        section = Cache(folder, LIMIT_BYTES).section({"key": key})
        for name in "abcd":
            if name in section:
                count += 1
                wrong += not torch.equal(section[name], expected(key, name))
    return count, wrong


def main(arguments: list[str] | None = None) -> int:
    """Run the attack; the exit status is 1 if something failed."""
    options = read_options(__doc__, arguments, kills=60, seed=0)
    place, random = work_folder("cache"), seeded(options.seed)
    folder, counts = place / "shared", Counter[str]()
    largest = failures = 0
    while counts["kills"] < options.kills:
        logs = [place / f"log-{number}" for number in range(WORKERS)]
        seeds = [random.randrange(2**32) for _ in logs]
        children = [fork(lambda s=seed: work(folder, s), log) for seed, log in zip(seeds, logs, strict=True)]
        for child, log in zip(children, logs, strict=True):
            status = kill_after(child, random.uniform(0.05, 0.8))
            counts["kills"] += status < 0
            if status >= FINISHED:
                failures += 1
                print(log.read_text(), file=sys.stderr)
        largest = max(largest, sum(path.stat().st_size for path in folder.glob("*/*")))
        read, wrong = check(folder)
        counts["tensors read"] += read
        counts["wrong tensors"] += wrong
        failures += wrong
    Cache(folder, LIMIT_BYTES).make_room(0)
    size = sum(path.stat().st_size for path in folder.glob("*/*"))
    left = sum(1 for _ in folder.glob("*/.*.partial"))
    failures += size > LIMIT_BYTES or left > 0
    shutil.rmtree(place, ignore_errors=True)
    sizes = {"limit": LIMIT_BYTES, "largest": largest, "after the next write": size, "unfinished files left": left}
    return report("kill_cache", {**counts, **sizes}, failures)


if __name__ == "__main__":
    sys.exit(main())
