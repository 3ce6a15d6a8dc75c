"""A pool that runs each task of a sweep on a Ray cluster."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from vczoo.errors import PluginError
from vczoo.training.sweeps.tasks import Outcome, Task, perform

__all__ = ["RayTasks", "import_ray"]

PATIENCE_SECONDS = 120.0


def import_ray() -> Any:
    """Import Ray.

    Raises:
        PluginError: Ray is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise PluginError(
            f"--ray needs Ray, which is not installed ({error}); run: pip install ray. Without Ray, --jobs N trains in "
            "N processes on this machine"
        ) from error


class RayTasks:
    """A pool of Ray tasks. Each runs in a process that ends with the task.

    Ray chooses the cluster in its usual way: the one of `RAY_ADDRESS`, or one that already runs on this machine;
    otherwise it starts one here. All machines must see the sweep's folder, the recordings and the cache at the same
    paths.

    Args:
        threads: The number of torch's threads for each task, and of processors that Ray reserves for it.
        count: The most tasks that run at the same time.
        on_gpu: Whether each task needs a GPU.
    """

    def __init__(self, threads: int, count: int, *, on_gpu: bool = False) -> None:
        self.count = count
        self._ray = import_ray()
        self._options: Mapping[str, Any] = {"num_cpus": threads, "num_gpus": float(on_gpu)}
        self._running: dict[Any, Task] = {}

    def __enter__(self) -> Self:
        self._started_ray = not self._ray.is_initialized()
        if self._started_ray:
            self._ray.init(log_to_driver=False, include_dashboard=False)
        # No retries: a cell that crashes its process would crash it again. No reuse of processes: see `Processes`.
        remote = self._ray.remote(max_calls=1, max_retries=0)(_perform)
        self._remote = remote.options(**self._options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._started_ray:
            self._ray.shutdown()

    @property
    def free(self) -> int:
        """The number of tasks that can start now."""
        return self.count - len(self._running)

    def start(self, task: Task) -> None:
        """Start a task."""
        self._running[self._remote.remote(task.to_plain())] = task

    def ended(self) -> list[tuple[Task, Outcome]]:
        """Wait until at least one task has ended; return the ended tasks with their outcomes."""
        if not self._running:
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1)
        return [(self._running.pop(reference), self._outcome(reference)) for reference in ready]

    def stop(self) -> list[tuple[Task, Outcome]]:
        """Interrupt all running tasks; return them with their outcomes."""
        for reference in self._running:
            self._ray.cancel(reference)
        running = list(self._running)
        if running:
            self._ray.wait(running, num_returns=len(running), timeout=PATIENCE_SECONDS)
        return [(self._running.pop(reference), self._outcome(reference, stopped=True)) for reference in running]

    def _outcome(self, reference: Any, *, stopped: bool = False) -> Outcome:
        try:
            return Outcome(**self._ray.get(reference, timeout=0 if stopped else None))
        except Exception as error:  # Ray's errors and a task's own errors have no common base class
            if stopped:
                return Outcome("interrupted")
            return Outcome("failed", f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")


def _perform(plain: dict[str, Any]) -> dict[str, Any]:
    return asdict(perform(Task.of(plain)))
