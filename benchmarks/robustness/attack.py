"""What the attacks share: a small corpus, a small recipe, and child processes that are killed at random times.

Children are forked from a process that has imported everything, so that a kill costs no start of Python. POSIX only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from vczoo.errors import VczooError
from vczoo.runs.run_folder import load_run

SMALL = (
    "backbone.width=16",
    "backbone.blocks=1",
    "heads.speaker.hidden=[32, 16]",
    "heads.voice.width=16",
    "heads.voice.blocks=2",
    "heads.voice.bottleneck=8",
    "vocoder.iterations=4",
    "training.crop_seconds=0.64",
    "training.batch_size=4",
    "training.learning_rate=0.01",
)
FINISHED, REFUSED, RAW, INTERRUPTED = 0, 3, 4, 130  # exit statuses of children


def read_options(
    documentation: str | None, arguments: Sequence[str] | None = None, **numbers: int
) -> argparse.Namespace:
    """The options of an attack's command, which are whole numbers: `numbers` has their names and defaults."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in numbers.items():
        text = "seed of what is random in the attack" if name == "seed" else f"number of {name}"
        parser.add_argument(f"--{name}", type=int, default=default, help=text)
    return parser.parse_args(arguments)


def write_corpus(folder: Path) -> Path:
    """Write `<folder>/<speaker>/<n>.wav`: three voices, six recordings of 0.8 s each."""
    for speaker, pitch_hz in (("alice", 215), ("bob", 105), ("carol", 160)):
        (folder / speaker).mkdir(parents=True)
        for number in range(6):
            noise = np.random.default_rng(number)
            seconds_at = np.arange(12_800) / 16_000
            phase = 2 * np.pi * pitch_hz * (seconds_at + 0.02 * np.sin(2 * np.pi * (1 + number) * seconds_at))
            samples = sum(np.sin(k * phase) / k for k in range(1, 12))
            samples = 0.2 * samples * np.sin(np.pi * seconds_at / 0.8) + 0.002 * noise.standard_normal(len(seconds_at))
            soundfile.write(folder / speaker / f"{number}.wav", samples, 16_000)
    return folder


def work_folder(name: str) -> Path:
    """A new temporary folder for an attack, and the user's cache in it."""
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix=f"vczoo-attack-{name}-"))
    os.environ["VCZOO_CACHE"] = str(folder / "cache")
    return folder


def fork(action: Callable[[], object], log: Path) -> int:
    """Run an action in a child process, and return its id.

    The exit status is FINISHED, REFUSED (a VczooError), INTERRUPTED, or RAW for any other exception; its text goes to
    `log`.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status, text = RAW, ""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        action()
        status = FINISHED
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BaseException as error:
        status = REFUSED if isinstance(error, VczooError) else RAW
        text = f"{type(error).__name__}: {error}\n"
    finally:  # whatever happens, the child must not go on as its parent
        with suppress(OSError):
            log.write_text(text)
        os._exit(status)


def wait(child: int) -> int:
    """Wait for a child; its exit status, or minus the signal that ended it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def kill_after(child: int, seconds: float) -> int:
    """Kill a child after some time, unless it ends before; its exit status, or minus the signal that ended it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return wait(child)


def weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a run's model and voices."""
    run = load_run(folder)
    voices = {f"{name}/{key}": value for name, voice in run.voices.items() for key, value in voice.tensors.items()}
    return {**run.model.state_dict(), **voices}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two sets of tensors are equal, bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def running_on(place: Path) -> list[int]:
    """The processes that have a path among their arguments, or that hold a file in it open. Linux only."""
    running = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            uses = str(place).encode() in (entry / "cmdline").read_bytes()
            for link in (entry / "fd").iterdir():
                with suppress(OSError):
                    uses = uses or os.readlink(link).startswith(f"{place}/")
            if uses and state not in "ZX" and int(entry.name) != os.getpid():
                running.append(int(entry.name))
    return running


def report(name: str, counts: Counter[str] | Mapping[str, object], failures: int) -> int:
    """Print the counts as one line of JSON, and return the exit status of the attack: 1 if something failed."""
    print(json.dumps({"attack": name, **counts, "failures": failures}))
    return 1 if failures else 0


def seeded(seed: int) -> random.Random:
    """The source of the random times of an attack."""
    return random.Random(seed)
