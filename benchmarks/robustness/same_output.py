"""Two conversions into one new file at once, without --overwrite.

    python -m benchmarks.robustness.same_output --pairs 200

Exactly one of the two must succeed, its file must be whole, and nothing else may be left. Prints the counts as JSON;
the exit status is 1 if both or none succeeded, or something was left.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import vczoo
from benchmarks.robustness.attack import read_options, wait
from benchmarks.robustness.forks import fork, report, single_thread, small_run, speech


def main() -> int:
    options = read_options(__doc__, pairs=200)
    single_thread()
    counts = {"pairs": 0, "both_succeeded": 0, "none_succeeded": 0, "left": 0}
    with tempfile.TemporaryDirectory() as temporary:
        converter = vczoo.load(small_run(Path(temporary) / "run"), device="cpu")
        wave, folder = speech(0.3), Path(temporary) / "out"
        for pair in range(options.pairs):
            out = folder / f"{pair}.wav"
            reader, writer = os.pipe()

            def convert(out: Path = out, reader: int = reader, writer: int = writer) -> None:
                os.close(writer)
                os.read(reader, 1)  # until the other process has been started, too
                converter.convert_file(wave, out, "ann")

            processes = [fork(convert) for _ in range(2)]
            os.close(reader)
            os.close(writer)
            succeeded = [wait(process) for process in processes].count(0)
            counts["pairs"] += 1
            counts["both_succeeded"] += succeeded == 2
            counts["none_succeeded"] += succeeded == 0
            assert vczoo.Waveform.read(out).seconds > 0.2
        counts["left"] = sum(path.suffix != ".wav" for path in folder.iterdir())
    return report(counts, ("both_succeeded", "none_succeeded", "left"))


if __name__ == "__main__":
    sys.exit(main())
