"""Tasks in, each in a process of its own; what came of them, as they end, out."""

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

from vczoo.training.sweeps.state import LOGS
from vczoo.training.sweeps.tasks import Outcome, Task

__all__ = ["Pool", "Processes"]

LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 120.0  # that a process has to end its step in and to write its checkpoint
INTERRUPTED = {130, -signal.SIGINT}


class Pool(Protocol):
    """Where tasks are performed. Use it as a context: at its end, however that comes, nothing of them runs."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""

    def start(self, task: Task) -> None:
        """Begin a task."""

    def ended(self) -> list[tuple[Task, Outcome]]:
        """Wait until some have ended, and tell what came of them."""

    def stop(self) -> list[tuple[Task, Outcome]]:
        """Interrupt all that run, and tell what came of them; each may write a checkpoint."""


@dataclass
class _Running:
    task: Task
    process: subprocess.Popen[bytes]
    outcome: Path


class Processes:
    """Processes of this machine, a fresh one for each task: what one does to its memory is no other's matter.

    Each is a session of its own, so that Ctrl-C reaches this process alone, which hands it on.

    Args:
        folder: of the sweep; each process writes what it has to say to `logs/<name>.log` in it.
        count: how many run at a time.
        inherited: open files that they shall hold open, too.
        gpus: names of GPUs; where there are several each process sees one of them.
    """

    def __init__(self, folder: Path, count: int, inherited: Sequence[int] = (), gpus: Sequence[str] = ()) -> None:
        self.folder, self.count, self.inherited, self.gpus = folder, count, tuple(inherited), tuple(gpus)
        self._running: dict[int, _Running] = {}  # by the place that it has

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
        """As `Pool`."""
        return self.count - len(self._running)

    def start(self, task: Task) -> None:
        """As `Pool`."""
        place = next(number for number in range(self.count) if number not in self._running)
        outcome = self.folder / LOGS / f".{uuid.uuid4().hex}.json"
        log = self.folder / LOGS / f"{task.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ)
        environment.setdefault("OMP_NUM_THREADS", str(task.threads))
        if len(self.gpus) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[place % len(self.gpus)]
        options: dict[str, Any] = {} if sys.platform == "win32" else {"pass_fds": self.inherited}
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "vczoo.training.sweeps.worker"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                env=environment,
                start_new_session=True,
                **options,
            )
        self._running[place] = _Running(task, process, outcome)
        assert process.stdin is not None
        with suppress(OSError):  # it has ended already, which `ended` will tell
            process.stdin.write(json.dumps({"task": task.to_plain(), "outcome": str(outcome)}).encode() + b"\n")
            process.stdin.flush()

    def ended(self) -> list[tuple[Task, Outcome]]:
        """As `Pool`."""
        while self._running:
            if found := self._collect():
                return found
            time.sleep(LOOK_SECONDS)
        return []

    def stop(self) -> list[tuple[Task, Outcome]]:
        """As `Pool`."""
        for running in self._running.values():
            if sys.platform == "win32":  # where nothing can be asked to end
                running.process.kill()
            else:
                running.process.send_signal(signal.SIGINT)
        found: list[tuple[Task, Outcome]] = []
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self._running:
            if time.monotonic() > give_up:
                for running in self._running.values():
                    running.process.kill()
            found += self._collect()
            time.sleep(LOOK_SECONDS)
        return found

    def _collect(self) -> list[tuple[Task, Outcome]]:
        found = []
        for place, running in list(self._running.items()):
            status = running.process.poll()
            if status is not None:
                del self._running[place]
                with suppress(OSError):
                    running.process.communicate()  # which closes its standard input
                found.append((running.task, _outcome(running.outcome, status)))
        return found


def _outcome(path: Path, status: int) -> Outcome:
    try:
        outcome = Outcome(**json.loads(path.read_text(encoding="utf-8")))
        path.unlink()
        return outcome
    except (OSError, ValueError, TypeError):
        pass
    if status in INTERRUPTED:
        return Outcome("interrupted")
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
        return Outcome("failed", f"its process was killed by {name}; is memory short?")
    return Outcome("failed", f"its process ended with exit status {status}; its log tells more")
