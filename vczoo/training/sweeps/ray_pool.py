"""Tasks in, each a task of Ray on any machine of its cluster; what came of them, as they end, out."""

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
    """Ray itself.

    Raises:
        PluginError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise PluginError(
            f"--ray needs Ray, which is not here ({error}); run: pip install ray. Without it, --jobs N trains in N "
            "processes of this machine"
        ) from error


class RayTasks:
    """Ray's tasks, each in a process that ends with it.

    A cluster is connected to as Ray does by itself: the one of `RAY_ADDRESS`, or one that runs here already, else one
    is started here. All machines must see the sweep's folder, the recordings and the cache at the same paths.

    Args:
        threads: of torch for each task, and the processors that Ray keeps for it.
        count: how many run at a time, at most.
        on_gpu: whether each needs a GPU.
    """

    def __init__(self, threads: int, count: int, *, on_gpu: bool = False) -> None:
        self.count = count
        self._ray = import_ray()
        self._options: Mapping[str, Any] = {"num_cpus": threads, "num_gpus": float(on_gpu)}
        self._running: dict[Any, Task] = {}

    def __enter__(self) -> Self:
        self._own = not self._ray.is_initialized()
        if self._own:
            self._ray.init(log_to_driver=False, include_dashboard=False)
        # No second try: a cell that ends its process would do so again. No process twice: see `Processes`.
        remote = self._ray.remote(max_calls=1, max_retries=0)(_perform)
        self._remote = remote.options(**self._options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._own:
            self._ray.shutdown()

    @property
    def free(self) -> int:
        """As `Pool`."""
        return self.count - len(self._running)

    def start(self, task: Task) -> None:
        """As `Pool`."""
        self._running[self._remote.remote(task.to_plain())] = task

    def ended(self) -> list[tuple[Task, Outcome]]:
        """As `Pool`."""
        if not self._running:
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1)
        return [(self._running.pop(reference), self._outcome(reference)) for reference in ready]

    def stop(self) -> list[tuple[Task, Outcome]]:
        """As `Pool`."""
        for reference in self._running:
            self._ray.cancel(reference)
        running = list(self._running)
        if running:
            self._ray.wait(running, num_returns=len(running), timeout=PATIENCE_SECONDS)
        return [(self._running.pop(reference), self._outcome(reference, stopped=True)) for reference in running]

    def _outcome(self, reference: Any, *, stopped: bool = False) -> Outcome:
        try:
            return Outcome(**self._ray.get(reference, timeout=0 if stopped else None))
        except Exception as error:  # Ray's errors share no base with what else may come through it
            if stopped:
                return Outcome("interrupted")
            return Outcome("failed", f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")


def _perform(plain: dict[str, Any]) -> dict[str, Any]:
    return asdict(perform(Task.of(plain)))
