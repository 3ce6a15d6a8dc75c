"""Two trainings that start in one folder at the same time: one must finish, and the other must be refused.

python -m benchmarks.robustness.two_trainings --pairs 10
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter

import vczoo
from benchmarks.robustness.attack import (
    FINISHED,
    REFUSED,
    SMALL,
    fork,
    read_options,
    report,
    seeded,
    wait,
    work_folder,
    write_corpus,
)


def main(arguments: list[str] | None = None) -> int:
    """Run the attack; the exit status is 1 if something failed."""
    options = read_options(__doc__, arguments, pairs=10, seed=0)
    place, random = work_folder("two-trainings"), seeded(options.seed)
    data = write_corpus(place / "data")

    def train(out: str, seed: int) -> None:
        settings = [*SMALL, "training.epochs=2", f"training.seed={seed}"]
        vczoo.finetune("demo", data, place / out, settings, progress=False)

    train("warm-up", 0)  # here, so that children have imported everything
    counts: Counter[str] = Counter()
    failures = 0
    for pair in range(options.pairs):
        logs = [place / f"log-{pair}-{number}" for number in range(2)]
        seeds = [random.randrange(1000) for _ in logs]
        children = [
            fork(lambda seed=seed, pair=pair: train(f"run-{pair}", seed), log)
            for seed, log in zip(seeds, logs, strict=True)
        ]
        statuses = sorted(map(wait, children))
        counts["pairs"] += 1
        counts["one finished and one was refused"] += statuses == [FINISHED, REFUSED]
        counts["both finished"] += statuses == [FINISHED, FINISHED]
        refusal = "".join(log.read_text() for log in logs if log.is_file())
        counts["refusals that name the process"] += "(process " in refusal
        if statuses != [FINISHED, REFUSED]:
            failures += 1
            print(f"run-{pair}: {statuses}: {refusal}", file=sys.stderr)
        vczoo.load(place / f"run-{pair}")
    shutil.rmtree(place, ignore_errors=True)
    return report("two_trainings", counts, failures)


if __name__ == "__main__":
    sys.exit(main())
