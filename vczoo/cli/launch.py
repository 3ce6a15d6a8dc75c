"""Launcher for distributed training: runs a vczoo command in several processes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

from vczoo.errors import VczooError

__all__ = ["end_with_launcher", "launch", "launched", "leads", "leave"]

FORWARDED = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if sys.platform != "win32" else ()))
WATCHES = "VCZOO_ENDS_WITH_STDIN"  # set for processes whose standard input is a pipe that `launch` keeps open
PATIENCE_SECONDS = 20.0  # for a process to finish its step and write a checkpoint


def launched() -> bool:
    """Whether a launcher (torchrun, `accelerate launch`) started this process."""
    return "LOCAL_RANK" in os.environ


def leads() -> bool:
    """Whether this is the main process: the one with rank 0, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def end_with_launcher() -> None:
    """If `launch` started this process, interrupt it as Ctrl-C would once the process of `launch` has ended.

    Nothing else would end it after a kill -9: it runs in a session of its own.
    """
    if os.environ.pop(WATCHES, None):
        threading.Thread(target=_wait_for_launcher, daemon=True).start()


def _wait_for_launcher() -> None:
    while os.read(0, 1):  # not sys.stdin: Python would wait for its lock on exit
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(PATIENCE_SECONDS)
    os._exit(128 + signal.SIGINT)  # it waits for another process that has already ended


def leave(status: int) -> NoReturn:
    """End a distributed process at once. During a normal exit of Python, a thread of gloo sometimes aborts it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def launch(arguments: Sequence[str], processes: int, device: str | None) -> int:
    """Run `python -m vczoo ARGUMENTS` in several processes on this machine, and return the exit status.

    torchrun starts the processes. On CPUs they divide the cores among themselves. For several machines, use `accelerate
    launch -m vczoo ARGUMENTS`, which has its own configuration. SIGINT (Ctrl-C), SIGTERM and SIGHUP (a closed terminal)
    are forwarded to all processes, and the call returns when these have ended. If this process is killed, they write a
    checkpoint and end.

    Args:
        arguments: Command-line arguments of vczoo, without the program's name.
        processes: Number of processes.
        device: Device from the command line, such as cpu or cuda; None uses GPUs if there are any.

    Raises:
        VczooError: There are GPUs, but fewer than processes.
    """
    import torch

    environment = dict(os.environ)
    if device == "cpu" or (device is None and not torch.cuda.is_available()):
        environment["ACCELERATE_USE_CPU"] = "true"
    elif processes > torch.cuda.device_count():
        raise VczooError(
            f"each of {processes} processes needs a GPU, but there are only {torch.cuda.device_count()}; use fewer "
            "--processes, or --device cpu"
        )
    environment.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // processes)))
    torchrun = [sys.executable, "-m", "vczoo.cli.launch", "--standalone", f"--nproc-per-node={processes}"]
    # In its own session: torchrun forwards signals to its processes, so it must not also get the terminal's. All of its
    # processes inherit the pipe, which closes when this process ends, however it ends.
    process = subprocess.Popen(
        [*torchrun, "-m", "vczoo", *arguments],
        env=environment | {WATCHES: "1"},
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    handlers = {}
    for number in FORWARDED:
        if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT:  # nohup ignores SIGHUP
            handlers[number] = signal.signal(number, lambda received, _: process.send_signal(received))
    try:
        return process.wait()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        assert process.stdin is not None
        process.stdin.close()


def _torchrun() -> int:
    """Run torchrun. Errors are printed by the processes themselves, or here if a process died before it could."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        main(sys.argv[1:])
    except SignalException as error:
        return 128 + int(error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode not in (1, 2, 128 + signal.SIGINT):
            sys.stderr.write(
                f"error: process {rank} ended with status {failure.exitcode}; it may have run out of memory\n"
            )
        return failure.exitcode if failure.exitcode > 0 else 1
    return 0


def _cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(_torchrun())
