"""A command in; its wall seconds and the JSON of its last line out; and what a process holds, as it sees itself.

What is measured is a process of its own, imports included, so that nothing that ran before helps or hinders it.
Linux counts a process's peak anew from its start; where there is no /proc the caller should import little, since what
it held itself may count for its children.
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

ROOT = Path(__file__).resolve().parents[2]  # where `python -m benchmarks...` is found


def measured(command: Sequence[str], threads: int | None = None) -> dict[str, Any]:
    """The last line of its standard output, a JSON object, with `wall_seconds` added.

    Raises:
        RuntimeError: it fails; the end of its standard error stands in the message.
    """
    environment = child_environment(threads)
    began = time.perf_counter()
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )
    output, errors = child.communicate()
    seconds = time.perf_counter() - began
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} ended with {child.returncode}:\n{errors[-2000:]}")
    return {**json.loads(output.splitlines()[-1]), "wall_seconds": seconds}


def child_environment(threads: int | None = None) -> dict[str, str]:
    """This process's environment with so many threads, and with bytecode kept, which every import needs anew else."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if threads:
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    return environment


def peak_megabytes() -> float:
    """The most memory that this process held: what a measured child reports of itself."""
    try:
        return status_megabytes("VmHWM")
    except OSError:
        import resource

        unit = 1_000_000 if sys.platform == "darwin" else 1000
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def status_megabytes(field: str) -> float:
    """What Linux says that this process holds now (VmRSS), or held at most (VmHWM).

    Raises:
        OSError: there is no /proc.
    """
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition(f"{field}:")[2].split()[0]) / 1000
