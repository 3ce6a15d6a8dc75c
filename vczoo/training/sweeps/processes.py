"""A pool that runs each task of a sweep in a separate process on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from vczoo.errors import RunError
from vczoo.training.sweeps.state import LOGS
from vczoo.training.sweeps.tasks import Outcome, Task

__all__ = ["Pool", "Processes"]

LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 120.0  # for a process to finish its step and write its checkpoint
INTERRUPTED = {130, -signal.SIGINT}


class Pool(Protocol):
    """A pool that runs tasks. Use it as a context manager: on exit, even after an error, no task is left running."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def free(self) -> int:
        """The number of tasks that can start now."""

    def start(self, task: Task) -> None:
        """Start a task."""

    def ended(self) -> list[tuple[Task, Outcome]]:
        """Wait until at least one task has ended; return the ended tasks with their outcomes."""

    def stop(self) -> list[tuple[Task, Outcome]]:
        """Interrupt all running tasks, giving each time to write a checkpoint; return them with their outcomes."""


@dataclass
class _Running:
    task: Task
    process: subprocess.Popen[bytes]
    outcome: Path


class Processes:
    """A pool of processes on this machine. Each task gets a fresh process, so tasks cannot affect each other's memory.

    Each process has its own session, so that Ctrl-C reaches only the sweep's process, which passes it on.

    Args:
        folder: The sweep's folder. Each process writes its output to `logs/<name>.log` in it.
        count: The number of processes that run at the same time.
        inherited: Descriptors of open files that the processes inherit, such as the sweep's lock.
        gpus: The names of GPUs. If there are several, each process sees one of them.
    """

    def __init__(self, folder: Path, count: int, inherited: Sequence[int] = (), gpus: Sequence[str] = ()) -> None:
        self.folder, self.count, self.inherited, self.gpus = folder, count, tuple(inherited), tuple(gpus)
        self._running: dict[int, _Running] = {}  # by slot

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in self._running.values():
            running.process.kill()
            running.process.wait()
        self._running.clear()

    @property
    def free(self) -> int:
        """The number of tasks that can start now."""
        return self.count - len(self._running)

    def start(self, task: Task) -> None:
        """Start a task."""
        slot = next(number for number in range(self.count) if number not in self._running)
        outcome = self.folder / LOGS / f".{uuid.uuid4().hex}.json"
        log = self.folder / LOGS / f"{task.name}.log"
        environment = dict(os.environ)
        environment.setdefault("OMP_NUM_THREADS", str(task.threads))
        if len(self.gpus) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        options: dict[str, Any] = {} if sys.platform == "win32" else {"pass_fds": self.inherited}
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open("ab")
        except OSError as error:
            raise RunError(
                f"{log} cannot be written ({error.strerror or error}); free some space and run it again"
            ) from error
        with output as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "vczoo.training.sweeps.worker"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                env=environment,
                start_new_session=True,
                **options,
            )
        self._running[slot] = _Running(task, process, outcome)
        assert process.stdin is not None
        with suppress(OSError):  # the process has already ended; `ended` will report it
            process.stdin.write(json.dumps({"task": task.to_plain(), "outcome": str(outcome)}).encode() + b"\n")
            process.stdin.flush()

    def ended(self) -> list[tuple[Task, Outcome]]:
        """Wait until at least one task has ended; return the ended tasks with their outcomes."""
        while self._running:
            if finished := self._collect():
                return finished
            time.sleep(LOOK_SECONDS)
        return []

    def stop(self) -> list[tuple[Task, Outcome]]:
        """Interrupt all running tasks; return them with their outcomes."""
        for running in self._running.values():
            if sys.platform == "win32":  # Windows cannot ask a process to stop
                running.process.kill()
            else:
                running.process.send_signal(signal.SIGINT)
        finished: list[tuple[Task, Outcome]] = []
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self._running:
            if time.monotonic() > give_up:
                for running in self._running.values():
                    running.process.kill()
            finished += self._collect()
            time.sleep(LOOK_SECONDS)
        return finished

    def _collect(self) -> list[tuple[Task, Outcome]]:
        finished = []
        for slot, running in list(self._running.items()):
            status = running.process.poll()
            if status is not None:
                del self._running[slot]
                with suppress(OSError):
                    running.process.communicate()  # this also closes its standard input
                finished.append((running.task, _outcome(running.outcome, status)))
        return finished


def _outcome(path: Path, status: int) -> Outcome:
    try:
        outcome: Outcome | None = Outcome(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        outcome = None
    if outcome:
        with suppress(OSError):
            path.unlink()
        return outcome
    if status in INTERRUPTED:
        return Outcome("interrupted")
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
        return Outcome("failed", f"its process was killed by {name}; perhaps the machine ran out of memory")
    return Outcome("failed", f"its process ended with exit status {status}; see its log in {LOGS}/")
