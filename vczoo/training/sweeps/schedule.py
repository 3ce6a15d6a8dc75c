"""Scheduling of a sweep's tasks, so that no frozen stage runs twice on the same recording."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from vczoo.training.sweeps.cells import Cell
from vczoo.training.sweeps.processes import Pool
from vczoo.training.sweeps.tasks import CellGroup, Outcome, Task

__all__ = ["filling", "work_off"]


def filling(cells: Sequence[Cell]) -> list[tuple[list[CellGroup], list[str]]]:
    """The frozen stages to run before cells train in parallel, for each backbone that several cells share.

    Returns:
        One pair per such backbone: the cell groups whose frozen stages run once, and the names of the cells that wait
        for them. Among cells that differ only in minutes, the one with the most minutes stands for all, because its
        recordings include those of the others.
    """
    by_backbone: dict[str, list[Cell]] = {}
    for cell in cells:
        plain = cell.recipe.to_plain()
        key = json.dumps([plain.get(section) for section in ("start", "backbone", "vocoder")])
        by_backbone.setdefault(key, []).append(cell)
    fillings = []
    for group in by_backbone.values():
        if len(group) < 2:
            continue
        largest: dict[str, Cell] = {}
        for cell in group:
            key = _stages_of(cell)
            if key not in largest or _minutes(cell) > _minutes(largest[key]):
                largest[key] = cell
        cell_groups = [CellGroup(cell.source, cell.overrides, cell.minutes) for cell in largest.values()]
        fillings.append((cell_groups, [cell.name for cell in group]))
    return fillings


def work_off(
    tasks: Sequence[Task], pool: Pool, begins: Callable[[Task], None], ended: Callable[[Task, Outcome], None]
) -> None:
    """Run tasks in their order. A task starts once all tasks that it waits for have ended.

    Args:
        tasks: The tasks. Each may wait only for tasks in this list, or for tasks that have ended already.
        pool: The pool that runs them.
        begins: Called before a task starts.
        ended: Called with a task and its outcome.

    Raises:
        KeyboardInterrupt: The sweep was interrupted. `ended` has been called for every task that was running.
    """
    waiting = list(tasks)
    open_names = {task.name for task in tasks}
    try:
        while open_names:
            for task in [task for task in waiting if not open_names & set(task.after)][: pool.free]:
                waiting.remove(task)
                begins(task)
                pool.start(task)
            for task, outcome in pool.ended():
                open_names.discard(task.name)
                ended(task, outcome)
    except KeyboardInterrupt:
        for task, outcome in pool.stop():
            ended(task, outcome)
        raise


def _minutes(cell: Cell) -> float:
    return float("inf") if cell.minutes is None else cell.minutes


def _stages_of(cell: Cell) -> str:
    """A key of all settings that decide which stages are frozen, their outputs and a teacher's, and the recordings."""
    plain, settings = cell.recipe.to_plain(), cell.recipe.training
    encoding = (settings.seed, settings.epochs, settings.cache_dtype, settings.variants, settings.content_speeds)
    return json.dumps([plain["freezing"], plain.get("teacher"), encoding])
