"""What the attacks on runs share: a small run, speech to enroll, and processes that are forked with both in memory.

A fork starts in milliseconds, so that hundreds of processes can be killed in a minute. It needs a Unix, and torch must
use one thread, because a fork has no others.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

import vczoo
from vczoo.audio.waveform import Waveform

__all__ = ["command", "ended", "fork", "members", "read_all", "report", "single_thread", "small_run", "speech"]

RATE_HZ = 16000
SMALL = (
    "backbone.width=16",
    "backbone.blocks=1",
    "heads.speaker.hidden=[16]",
    "heads.voice.width=16",
    "heads.voice.blocks=1",
    "heads.voice.bottleneck=8",
)
PLAIN = {"metrics.json", "model.safetensors", "vczoo.yaml", "voices.safetensors"}


def single_thread() -> None:
    """Make torch safe to fork, and leave out the warnings of short recordings."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")


def speech(seconds: float = 1.5, f0_hz: float = 150.0) -> Waveform:
    """A buzz with a syllable rhythm, which counts as speech."""
    seconds_at = torch.arange(round(seconds * RATE_HZ)) / RATE_HZ
    buzz = sum(torch.sin(2 * torch.pi * f0_hz * harmonic * seconds_at) / harmonic for harmonic in range(1, 12))
    assert isinstance(buzz, torch.Tensor)
    return Waveform.of(0.2 * buzz * (1 + torch.sin(2 * torch.pi * 4 * seconds_at)) / 2, RATE_HZ)


def small_run(folder: Path) -> Path:
    """Save a run of 100 kB, as it is before training, with two voices."""
    torch.manual_seed(0)
    converter = vczoo.load("demo", SMALL)
    for name, f0_hz in (("ann", 200.0), ("bob", 110.0)):
        converter.enroll(name, speech(f0_hz=f0_hz))
    return converter.save(folder)


def fork(work: Callable[[], None]) -> int:
    """Run a function in a forked process, which ends with status 0, or 1 after an error; return its number."""
    sys.stdout.flush()
    if process := os.fork():
        return process
    status = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        work()
        status = 0
    except vczoo.VczooError:
        pass
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        status = 2
    finally:
        os._exit(status)


def command(log: Path, *arguments: str) -> int:
    """Run a vczoo command in a forked process that leads a process group of its own; return its number.

    Its output goes to `log`, and its exit status is the command's.
    """
    from vczoo.cli.app import main

    sys.stdout.flush()
    if process := os.fork():
        return process
    status = 2
    try:
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.argv = ["vczoo", *arguments]
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(status)


def members(group: int) -> dict[int, bytes]:
    """The living processes of a process group, and the command line of each. Linux only."""
    living = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                living[int(entry.name)] = (entry / "cmdline").read_bytes()
    return living


def ended(group: int, patience_seconds: float) -> bool:
    """Wait for all processes of a group to end; return whether they did."""
    until = time.monotonic() + patience_seconds
    while members(group):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def read_all(pipe: int) -> str:
    """Read a pipe to its end and close it."""
    content = b""
    while block := os.read(pipe, 65536):
        content += block
    os.close(pipe)
    return content.decode()


def report(counts: Mapping[str, Any], bad: tuple[str, ...]) -> int:
    """Print the counts as JSON; return 1 if one that must be 0 is not."""
    print(json.dumps(counts))
    return int(any(counts[name] for name in bad))
