"""Kill -9 over fine-tunes, each resumed until it ends, and compared with an uninterrupted one bit by bit.

    python -m benchmarks.robustness.kill_training --kills 50

A third of the fine-tunes train all stages, a third freezes all, and a third thaws them one by one; a checkpoint is
written after every epoch. Counted as failures: a folder that neither resumes nor starts afresh, other weights than
without a kill, a raw exception, and hidden files that are left in a finished run.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import vczoo
from benchmarks.robustness.attack import (
    FINISHED,
    RAW,
    SMALL,
    fork,
    kill_after,
    read_options,
    report,
    same,
    seeded,
    weights,
    work_folder,
    write_corpus,
)
from vczoo.training import trainer
from vczoo.training.checkpoints.checkpoint import CHECKPOINT

STRATEGIES = ("none", "full", "gradual")
EPOCHS = "training.epochs=4"


def main(arguments: list[str] | None = None) -> int:
    """Run the attack; the exit status is 1 if something failed."""
    options = read_options(__doc__, arguments, kills=50, seed=0)
    place, random = work_folder("training"), seeded(options.seed)
    data, log = write_corpus(place / "data"), place / "log"
    trainer.CHECKPOINT_SECONDS = 0.0

    def train(strategy: str, out: Path, resume: bool) -> None:
        settings = [*SMALL, EPOCHS, f"freezing.use={strategy}"]
        vczoo.finetune("demo", data, out, settings, resume=resume, progress=False)

    expected, seconds = {}, {}
    train("none", place / "warm-up", False)  # here, so that children have imported everything
    for strategy in STRATEGIES:
        began = time.monotonic()
        status = kill_after(fork(lambda s=strategy: train(s, place / f"whole-{s}", False), log), 600.0)
        assert status == FINISHED, log.read_text()
        seconds[strategy] = time.monotonic() - began
        expected[strategy] = weights(place / f"whole-{strategy}")

    counts: Counter[str] = Counter()
    failures: list[str] = []
    while counts["kills"] < options.kills:
        strategy = STRATEGIES[counts["trainings"] % len(STRATEGIES)]
        out = place / f"run-{counts['trainings']}"
        counts["trainings"] += 1
        while True:
            resume = (out / CHECKPOINT).is_file()
            after = random.uniform(0, 1.2 * seconds[strategy]) if counts["kills"] < options.kills else 600.0
            status = kill_after(fork(lambda r=resume, o=out, s=strategy: train(s, o, r), log), after)
            if status == FINISHED:
                break
            if status == RAW and "Invalid thread pool" in log.read_text():
                counts["forks without a thread pool"] += 1  # torch's, in about one fork of a hundred: try again
                continue
            if status > 0:
                failures.append(f"{out.name}: {log.read_text()}")
                break
            counts["kills"] += 1
            counts["before the first checkpoint"] += not (out / CHECKPOINT).is_file()
            if (out / "vczoo.yaml").is_file():  # killed after the run was complete
                break
        if status == FINISHED:
            counts["finished"] += 1
            left = [path.name for path in out.iterdir() if path.name.startswith(".")]
            if left:
                failures.append(f"{out.name}: left {', '.join(left)}")
        if (out / "vczoo.yaml").is_file() and not same(weights(out), expected[strategy]):
            failures.append(f"{out.name}: other weights than without a kill")
    for failure in failures:
        print(failure, file=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    return report("kill_training", counts, len(failures))


if __name__ == "__main__":
    sys.exit(main())
