"""Processes that convert: jobs in, seconds made or what was wrong out, as they get ready."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self, cast

import torch

from vczoo.conversion.converter import Converter
from vczoo.conversion.load import load
from vczoo.errors import VczooError

__all__ = ["Job", "Workers"]

PATIENCE_SECONDS = 10.0  # that a process has to end in


@dataclass(frozen=True)
class Job:
    """A recording to convert.

    Attributes:
        source: the recording.
        out: the file to make.
        shares: of each voice.
        semitones: how far pitch is moved; None for the voice's mean.
        overwrite: whether `out` is replaced.
        mark: whether `out` says that it is synthetic.
        watermark: name of the one to embed; none where it is empty.
    """

    source: Path
    out: Path
    shares: Mapping[str, float]
    semitones: float | None
    overwrite: bool
    mark: bool = True
    watermark: str = ""

    def run(self, converter: Converter) -> float | str:
        """The seconds made, or what was wrong."""
        try:
            return converter.convert_file(
                self.source,
                self.out,
                self.shares,
                semitones=self.semitones,
                overwrite=self.overwrite,
                mark=self.mark,
                watermark=self.watermark,
            )
        except VczooError as error:
            return str(error)
        except Exception as error:  # one recording must not stop the rest, whatever it did to a model
            return f"{self.source}: {type(error).__name__}: {error}"


class Workers:
    """Processes that each load a run once. Use it as a context: at its end, however that comes, they are gone.

    They are spawned, not forked: a fork of a process with torch's threads hangs. Ctrl-C reaches the parent alone.

    Args:
        run: a run's folder.
        device: where they compute.
        count: processes, which share torch's threads.
        label: what converted files call the run by.
    """

    def __init__(self, run: Path, device: str, count: int, label: str = "") -> None:
        self.run, self.device, self.count, self.label = run, device, count, label

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        threads = max(1, torch.get_num_threads() // self.count)
        self._processes: dict[Connection, multiprocessing.process.BaseProcess] = {}
        try:
            with _no_interrupts():  # what a process blocks, its children block
                for _ in range(self.count):
                    here, there = context.Pipe()
                    told = (there, self.run, self.device, threads, self.label)
                    process = context.Process(target=_work, args=told, daemon=True)
                    process.start()
                    there.close()
                    self._processes[here] = process
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection, process in self._processes.items():
            process.terminate()  # which it takes as a reason to clean up
            connection.close()
        for process in self._processes.values():
            process.join(PATIENCE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()

    def map(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, float | str]]:
        """Every job with its outcome, the ready ones first.

        Raises:
            VczooError: the run cannot be loaded there.
        """
        waiting, given = deque(jobs), dict[Connection, Job]()
        alive = list(self._processes)
        while waiting or given:
            if not alive:
                for job in waiting:
                    yield job, f"{job.source}: not converted, since every process has ended"
                return
            for connection in cast("list[Connection]", wait(alive)):
                try:
                    outcome = connection.recv()
                    if isinstance(outcome, _Unloadable):
                        raise VczooError(outcome.reason)
                    if outcome is not None:
                        yield given.pop(connection), outcome
                    if waiting:
                        given[connection] = waiting.popleft()
                        connection.send(given[connection])
                except (EOFError, OSError):
                    alive.remove(connection)
                    process = self._processes[connection]
                    process.join(PATIENCE_SECONDS)
                    if connection in given:
                        job = given.pop(connection)
                        yield job, f"{job.source}: its process ended (exit code {process.exitcode}); is memory short?"


@dataclass(frozen=True)
class _Unloadable:
    """Why a process cannot load its run: text, since not every error can be pickled."""

    reason: str


def _work(connection: Connection, run: Path, device: str, threads: int, label: str) -> None:
    """A worker's life: None when it is ready, or why it cannot be; then an outcome for each job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for Windows, which has nothing to block
    signal.signal(signal.SIGTERM, _leave)
    torch.set_num_threads(threads)
    with suppress(EOFError, OSError):  # the parent is gone
        try:
            converter = load(run, device=device)
            converter.run.revision = label
        except VczooError as error:
            connection.send(_Unloadable(str(error)))
            return
        connection.send(None)
        while True:
            job: Job = connection.recv()
            connection.send(job.run(converter))


def _leave(number: int, frame: FrameType | None) -> None:
    """Turn the signal into an exception, so that a file that is half written is removed."""
    sys.exit(128 + number)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back, here for the moment and in what is started meanwhile for good; not on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it is started with the first child, and lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
