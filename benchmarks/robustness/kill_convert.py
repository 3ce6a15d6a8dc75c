"""Kills (SIGKILL) of `vczoo convert RUN FOLDER --out OUT --jobs 2`, in turn of the command and of one of its workers.

    python -m benchmarks.robustness.kill_convert --kills 20

Half of the kills come at a random moment of the command, half when a random number of recordings has been converted,
because most of a short command is its start. The command and its workers must then end within a minute: a worker that
is still importing torch learns of the kill when it has done so. What the command wrote must be whole. With --overwrite
the command, in one process, must then convert every recording and leave nothing else in OUT; a last command with two
workers must leave no temporary file of any killed one. A command whose worker was killed may fail, but must not say
that it converted every recording if it did not. Prints the counts as JSON; the exit status is 1 if one that must be 0
is not. Linux only.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import soundfile

import vczoo
from benchmarks.robustness.attack import read_options, wait
from benchmarks.robustness.forks import command, ended, members, report, single_thread, small_run, speech

RECORDINGS = 12
PATIENCE_SECONDS = 60.0
BAD = ("half_outputs", "processes_left", "false_successes", "unfinished", "files_left")


def write_recordings(folder: Path) -> Path:
    """Write recordings of 0.5 to 1.6 s."""
    folder.mkdir()
    for number in range(RECORDINGS):
        wave = speech(0.5 + 0.1 * number)
        soundfile.write(folder / f"{number}.wav", wave.samples.flatten().numpy(), wave.sample_rate_hz)
    return folder


def is_whole(output: Path, source: Path) -> bool:
    """Whether an output can be read to its end, and is as long as its source."""
    try:
        return len(soundfile.read(output)[0]) >= soundfile.info(source).frames
    except soundfile.SoundFileError:
        return False


def victim(process: int, *, worker: bool, chance: random.Random) -> int | None:
    """The command, or one of its workers as soon as there is one; None if the command ends before."""
    while processes := members(process):
        workers = [number for number, line in processes.items() if b"--multiprocessing-fork" in line]
        if not worker or workers:
            return chance.choice(workers) if worker else process
        time.sleep(0.01)
    return None


def main() -> int:
    options = read_options(__doc__, kills=20, seed=0)
    single_thread()
    chance = random.Random(options.seed)
    counts: dict[str, float] = dict.fromkeys(("kills", "outputs", *BAD), 0)
    slowest = 0.0
    with tempfile.TemporaryDirectory() as place:
        folder, log, temporary = Path(place), Path(place) / "log", Path(place) / "temporary"
        run, sources = small_run(folder / "run"), write_recordings(folder / "recordings")
        names = {source.name for source in sources.iterdir()}
        temporary.mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)

        def convert(out: Path, jobs: int = 2) -> int:
            arguments = ("--voice", "ann", "--out", str(out), "--jobs", str(jobs), "--overwrite", "--device", "cpu")
            return command(log, "convert", str(run), str(sources), *arguments)

        # What the command imports is imported here, once.
        vczoo.load(run, device="cpu").convert_file(sources / "0.wav", folder / "imports.wav", "ann")
        began = time.monotonic()
        assert wait(convert(folder / "whole")) == 0, log.read_text()
        longest = time.monotonic() - began
        attempts = 0
        while counts["kills"] < options.kills:
            attempts += 1
            out = folder / f"out-{attempts}"
            process = convert(out)
            if counts["kills"] % 4 < 2:
                time.sleep(chance.uniform(0, longest))
            else:
                wanted = chance.randrange(RECORDINGS)
                while members(process) and not (out.is_dir() and len(list(out.glob("*.wav"))) >= wanted):
                    time.sleep(0.002)
                time.sleep(chance.uniform(0, 0.1))
            number = victim(process, worker=counts["kills"] % 2 == 1, chance=chance)
            if number is None:  # it was faster
                wait(process)
                continue
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
            killed_at = time.monotonic()
            counts["kills"] += 1
            if not ended(process, PATIENCE_SECONDS):
                counts["processes_left"] += len(members(process))
                os.killpg(process, signal.SIGKILL)
            slowest = max(slowest, time.monotonic() - killed_at)
            status = wait(process)
            outputs = {path.name for path in out.iterdir()} & names if out.is_dir() else set()
            counts["outputs"] += len(outputs)
            counts["half_outputs"] += sum(not is_whole(out / name, sources / name) for name in outputs)
            counts["false_successes"] += status == 0 and outputs != names
            again = wait(convert(out, jobs=1))
            left = {path.name for path in out.iterdir()} if out.is_dir() else set()
            whole = names <= left and all(is_whole(out / name, sources / name) for name in names)
            if again != 0 or not whole:
                sys.stderr.write(log.read_text())
                counts["unfinished"] += 1
            counts["files_left"] += len(left - names)
        assert wait(convert(folder / "last")) == 0, log.read_text()
        counts["files_left"] += sum(1 for _ in temporary.iterdir())
    return report({**counts, "slowest_end_seconds": round(slowest, 1)}, BAD)


if __name__ == "__main__":
    sys.exit(main())
