"""Child processes, measured: wall and CPU seconds, the figures they print, and their peak memory.

Every measured row is a process of its own, imports included, so that nothing that ran before helps or hinders it.
Linux starts each process's peak memory from zero. Without /proc, the caller should import little, because its own
memory may count towards its children's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]  # where `python -m benchmarks...` works


def measured(command: Sequence[str], threads: int | None = None) -> dict[str, Any]:
    """Run a command from the repository's root and return the JSON object in its last line of output.

    `wall_seconds` is added to it, and `cpu_seconds`, which other work on the machine hardly changes.

    Args:
        command: The program and its arguments.
        threads: The number of threads for OpenMP, MKL and OpenBLAS; by default their own choice.

    Raises:
        RuntimeError: The command failed; the message has the end of its standard error.
    """
    environment = child_environment(threads)
    began, before = time.perf_counter(), os.times()
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )
    output, errors = child.communicate()
    seconds, after = time.perf_counter() - began, os.times()
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} ended with {child.returncode}:\n{errors[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {**json.loads(output.splitlines()[-1]), "wall_seconds": seconds, "cpu_seconds": cpu}


def child_environment(threads: int | None = None) -> dict[str, str]:
    """This process's environment, with a number of threads and with bytecode caching, so imports do not recompile."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if threads:
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    return environment


def peak_megabytes() -> float:
    """Peak memory of this process, in MB, for a measured child to report about itself."""
    try:
        return status_megabytes("VmHWM")
    except OSError:
        import resource

        unit = 1_000_000 if sys.platform == "darwin" else 1000
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def status_megabytes(field: str) -> float:
    """Memory of this process in MB: `VmRSS` for what it holds now, `VmHWM` for its peak.

    Raises:
        OSError: This system has no /proc.
    """
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition(f"{field}:")[2].split()[0]) / 1000
