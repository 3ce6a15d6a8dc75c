"""Worker processes that convert recordings in parallel."""

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

from vczoo.audio.writer import Depth
from vczoo.conversion.converter import Converter
from vczoo.conversion.load import load
from vczoo.errors import VczooError

__all__ = ["Job", "Workers"]

TIMEOUT_SECONDS = 10.0  # for a process to end; after that it is killed


@dataclass(frozen=True)
class Job:
    """A recording to convert.

    Attributes:
        source: The recording.
        out: The file to write.
        shares: Share of each voice in the mix, by name.
        semitones: Pitch shift in semitones. None moves the mean pitch to that of the voice.
        overwrite: Whether to replace an existing `out`.
        mark: Whether to write the provenance mark, which says that `out` is synthetic.
        watermark: Name of the watermark to embed, or "" for none.
        channel: Channel of the recording to use, as for `Converter.convert`.
        depth: Bits of a sample, as for `Converter.convert_file`.
    """

    source: Path
    out: Path
    shares: Mapping[str, float]
    semitones: float | None
    overwrite: bool
    mark: bool = True
    watermark: str = ""
    channel: str | None = None
    depth: Depth = "16"

    def run(self, converter: Converter) -> float | str:
        """Convert the recording; return the duration of the converted file in seconds, or an error message."""
        try:
            return converter.convert_file(
                self.source,
                self.out,
                self.shares,
                semitones=self.semitones,
                overwrite=self.overwrite,
                mark=self.mark,
                watermark=self.watermark,
                channel=self.channel,
                depth=self.depth,
            )
        except VczooError as error:
            return str(error)
        except Exception as error:  # no failure of one recording may stop the others
            return f"{self.source}: {type(error).__name__}: {error}"


class Workers:
    """Context manager for worker processes, each of which loads a run once. They end with the context, always.

    They are spawned, because a fork of a process with torch's threads hangs. Only the parent receives Ctrl-C.

    Args:
        run: Folder of a run.
        device: Torch device on which the processes compute.
        count: Number of processes. They share torch's threads.
        label: Identifier of the run in the provenance marks of converted files.
    """

    def __init__(self, run: Path, device: str, count: int, label: str = "") -> None:
        self.run, self.device, self.count, self.label = run, device, count, label

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        threads = max(1, torch.get_num_threads() // self.count)
        self._processes: dict[Connection, multiprocessing.process.BaseProcess] = {}
        try:
            with _no_interrupts():  # children inherit the mask of blocked signals
                for _ in range(self.count):
                    connection, child_connection = context.Pipe()
                    arguments = (child_connection, self.run, self.device, threads, self.label)
                    process = context.Process(target=_work, args=arguments, daemon=True)
                    process.start()
                    child_connection.close()
                    self._processes[connection] = process
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection, process in self._processes.items():
            process.terminate()  # `_exit_on_signal` then cleans up
            connection.close()
        for process in self._processes.values():
            process.join(TIMEOUT_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()

    def map(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, float | str]]:
        """Yield each job, as it finishes, with the outcome of `Job.run`.

        Raises:
            VczooError: A process cannot load the run.
        """
        waiting, running = deque(jobs), dict[Connection, Job]()
        alive = list(self._processes)
        while waiting or running:
            if not alive:
                for job in waiting:
                    yield job, f"{job.source}: not converted, because every process has ended; use fewer jobs"
                return
            for connection in cast("list[Connection]", wait(alive)):
                try:
                    outcome = connection.recv()
                    if isinstance(outcome, _Unloadable):
                        raise VczooError(outcome.reason)
                    if outcome is not None:
                        yield running.pop(connection), outcome
                    if waiting:
                        running[connection] = waiting.popleft()
                        connection.send(running[connection])
                except (EOFError, OSError):
                    alive.remove(connection)
                    process = self._processes[connection]
                    process.join(TIMEOUT_SECONDS)
                    if connection in running:
                        job = running.pop(connection)
                        yield job, f"{job.source}: its process ended (exit code {process.exitcode}); is memory short?"


@dataclass(frozen=True)
class _Unloadable:
    """The reason why a process cannot load its run, as text, because not every error can be pickled."""

    reason: str


def _work(connection: Connection, run: Path, device: str, threads: int, label: str) -> None:
    """Main loop of a worker. It sends None when it is ready, or an `_Unloadable`; then an outcome for each job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for Windows, where signals cannot be blocked
    signal.signal(signal.SIGTERM, _exit_on_signal)
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


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    """Turn the signal into an exception, so that partly written files are removed."""
    sys.exit(128 + number)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Block Ctrl-C in this process, and for good in processes started inside the context. No effect on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # otherwise the first child starts it, which unblocks Ctrl-C
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
