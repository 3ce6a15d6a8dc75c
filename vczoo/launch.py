"""A command of this program in; the same command run by several processes that train together, out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

__all__ = ["launch", "launched", "leads"]


def launched() -> bool:
    """Whether a launcher (torchrun, `accelerate launch`) has started this process."""
    return "LOCAL_RANK" in os.environ


def leads() -> bool:
    """Whether this process is the first of its team, or alone."""
    return os.environ.get("RANK", "0") == "0"


def launch(arguments: Sequence[str], processes: int, device: str | None) -> int:
    """Run `python -m vczoo ARGUMENTS` in several processes on this machine, and return the exit status.

    They meet through torchrun; on CPUs they share the cores among them. For several machines `accelerate launch -m
    vczoo ARGUMENTS` does the same with a configuration of its own.
    """
    import torch

    on_cpu = device == "cpu" or (device is None and not torch.cuda.is_available())
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    if on_cpu:
        environment["ACCELERATE_USE_CPU"] = "true"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run([*command, "-m", "vczoo", *arguments], env=environment).returncode
