"""Threads that share one converter: enrolling one name, identifying while another enrolls, converting.

    python -m benchmarks.robustness.threads --seconds 20

Of two threads that enroll one name, one must get the error. Nothing else may fail, and a conversion must be the one of
a single thread, bit by bit. Prints the counts as JSON; the exit status is 1 if something went wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

import vczoo
from benchmarks.robustness.forks import report, single_thread, small_run, speech


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    single_thread()
    counts = {
        "pairs": 0,
        "both_enrolled": 0,
        "identified": 0,
        "enrolled": 0,
        "converted": 0,
        "different": 0,
        "errors": 0,
    }
    with tempfile.TemporaryDirectory() as temporary:
        run = small_run(Path(temporary) / "run")
        converter = vczoo.load(run, device="cpu")
    wave = speech(0.5)
    for pair in range(options.pairs):
        succeeded: list[bool] = []

        def enroll(name: str = f"pair-{pair}", succeeded: list[bool] = succeeded) -> None:
            try:
                converter.enroll(name, wave)
                succeeded.append(True)
            except vczoo.VoiceError:
                succeeded.append(False)

        _together([enroll, enroll])
        counts["pairs"] += 1
        counts["both_enrolled"] += sum(succeeded) != 1
    expected = converter.convert(wave, "ann").samples
    until = time.monotonic() + options.seconds

    def repeat(name: str, work: Callable[[int], object]) -> None:
        number = 0
        while time.monotonic() < until:
            try:
                counts["different"] += work(number) is False
                counts[name] += 1
            except Exception as error:
                sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
                counts["errors"] += 1
            number += 1

    _together(
        [
            lambda: repeat("identified", lambda _: converter.identify(wave)),
            lambda: repeat("enrolled", lambda number: converter.enroll(f"more-{number % 500}", wave, overwrite=True)),
            lambda: repeat("converted", lambda _: torch.equal(converter.convert(wave, "ann").samples, expected)),
        ]
    )
    return report(counts, ("both_enrolled", "different", "errors"))


def _together(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
