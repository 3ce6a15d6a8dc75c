"""Cells and tasks in; the order in which they run, so that no frozen stage runs twice over a recording, out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from vczoo.training.sweeps.cells import Cell
from vczoo.training.sweeps.processes import Pool
from vczoo.training.sweeps.tasks import CellGroup, Outcome, Task

__all__ = ["filling", "work_off"]


def filling(cells: Sequence[Cell]) -> list[tuple[list[CellGroup], list[str]]]:
    """What is to be heard before cells that run side by side, for each backbone that several of them share.

    Returns:
        For each such backbone the lessons whose frozen stages run, each once, and the names of the cells that wait for
        it. Of cells that differ in minutes alone the most minutes stand for all, since they hold what fewer take.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        plain = cell.recipe.to_plain()
        groups.setdefault(json.dumps([plain.get(place) for place in ("start", "backbone", "vocoder")]), []).append(cell)
    found = []
    for group in groups.values():
        if len(group) < 2:
            continue
        largest: dict[str, Cell] = {}
        for cell in group:
            key = _stages_of(cell)
            if key not in largest or _minutes(cell) > _minutes(largest[key]):
                largest[key] = cell
        lessons = [CellGroup(cell.source, cell.overrides, cell.minutes) for cell in largest.values()]
        found.append((lessons, [cell.name for cell in group]))
    return found


def work_off(
    tasks: Sequence[Task], pool: Pool, begins: Callable[[Task], None], ended: Callable[[Task, Outcome], None]
) -> None:
    """Perform tasks, in their order as far as they wait for none that has not ended.

    Args:
        tasks: what each waits for is among them, or has ended.
        pool: that performs them.
        begins: called before a task starts.
        ended: called with what came of it.

    Raises:
        KeyboardInterrupt: what ran was interrupted, and `ended` has heard of it.
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
    """What decides which stages are frozen, what they give, and in which versions recordings are heard."""
    plain, settings = cell.recipe.to_plain(), cell.recipe.training
    heard = (settings.seed, settings.epochs, settings.cache_dtype, settings.variants, settings.content_speeds)
    return json.dumps([plain["freezing"], heard])
