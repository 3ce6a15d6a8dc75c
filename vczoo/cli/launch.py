"""A command of this program in; the same command run by several processes that train together, out."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from vczoo.errors import VczooError

__all__ = ["launch", "launched", "leads", "leave"]

HANDED_ON = (signal.SIGINT, signal.SIGTERM)


def launched() -> bool:
    """Whether a launcher (torchrun, `accelerate launch`) has started this process."""
    return "LOCAL_RANK" in os.environ


def leads() -> bool:
    """Whether this process is the first of its team, or alone."""
    return os.environ.get("RANK", "0") == "0"


def leave(status: int) -> NoReturn:
    """End a process of a team at once: while Python ends, a thread of gloo's aborts it now and then."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def launch(arguments: Sequence[str], processes: int, device: str | None) -> int:
    """Run `python -m vczoo ARGUMENTS` in several processes on this machine, and return the exit status.

    They meet through torchrun; on CPUs they share the cores among them. For several machines `accelerate launch -m
    vczoo ARGUMENTS` does the same with a configuration of its own. Ctrl-C is handed on to all of them and waited for.

    Raises:
        VczooError: there are GPUs, but fewer than processes.
    """
    import torch

    environment = dict(os.environ)
    if device == "cpu" or (device is None and not torch.cuda.is_available()):
        environment["ACCELERATE_USE_CPU"] = "true"
    elif processes > torch.cuda.device_count():
        raise VczooError(
            f"{processes} processes need a GPU each, and there are {torch.cuda.device_count()}; take fewer "
            "--processes, or --device cpu"
        )
    environment.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // processes)))
    torchrun = [sys.executable, "-m", "vczoo.cli.launch", "--standalone", f"--nproc-per-node={processes}"]
    # In a session of its own: torchrun hands a signal on to its processes, and must not get the terminal's as well.
    started = subprocess.Popen([*torchrun, "-m", "vczoo", *arguments], env=environment, start_new_session=True)
    before = {number: signal.signal(number, lambda got, _: started.send_signal(got)) for number in HANDED_ON}
    try:
        return started.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _torchrun() -> int:
    """Be torchrun, but leave it to the processes to tell what was wrong, unless they could not."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        main(sys.argv[1:])
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode not in (1, 2, 128 + signal.SIGINT):
            sys.stderr.write(f"error: process {rank} of the team ended with {failure.exitcode}; is memory short?\n")
        return failure.exitcode if failure.exitcode > 0 else 1
    return 0


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(_torchrun())
