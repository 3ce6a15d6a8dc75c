"""A running sweep: its tasks, what they report, and the table and plots at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vczoo.errors import PluginError, RunError
from vczoo.io.files import write_text
from vczoo.io.temporary import sweep_partials
from vczoo.runs.run import MANIFEST, is_run
from vczoo.training.sweeps.cells import Cell
from vczoo.training.sweeps.measures import figures_of
from vczoo.training.sweeps.plan import Plan
from vczoo.training.sweeps.plots import draw_table
from vczoo.training.sweeps.pruner import Pruner
from vczoo.training.sweeps.sampling import suggested_settings
from vczoo.training.sweeps.schedule import filling
from vczoo.training.sweeps.scoring import write_trials
from vczoo.training.sweeps.state import CELLS, LOGS, State
from vczoo.training.sweeps.summary import best_line, texts, texts_of_means
from vczoo.training.sweeps.table import Table, ranked, to_csv, to_markdown
from vczoo.training.sweeps.tasks import CellGroup, Outcome, Task

__all__ = ["RunningSweep"]

TABLE, MEANS, PLOTS = "table", "means", "plots"
CELLS_PER_MEASURING_TASK = 16  # at most: a process saves its measurements only when it ends

Location = str | os.PathLike[str]


class RunningSweep:
    """A sweep that is running. It saves its state after each task.

    Args:
        plan: The cells and what is measured.
        state: The state of an earlier sweep into the folder, which changes.
        folder: The folder of the sweep.
        say: Called with each status message.
    """

    def __init__(self, plan: Plan, state: State, folder: Path, say: Callable[[str], None]) -> None:
        self.plan, self.state, self.folder, self.say = plan, state, folder, say
        self.cells = {cell.name: cell for cell in plan.cells}
        self.count = self.done = 0
        self.lists = ""

    def prepare(self, cache: Location | bool, device: str | None, threads: int) -> None:
        """Save the settings that all cells share, and the lists that they are measured on."""
        plan, state = self.plan, self.state
        for outcome in (self.folder / LOGS).glob(".*.json"):  # left by the processes of a sweep that was killed
            with suppress(OSError):
                outcome.unlink()
        sweep_partials(self.folder / LOGS)
        self.common: dict[str, Any] = {
            "data": str(self.folder / MANIFEST),
            "cache": cache if isinstance(cache, bool) else os.path.abspath(cache),
            "device": device,
            "threads": threads,
        }
        state.shared = plan.merged(state)
        state.axes = plan.axes_with(state)
        state.about = plan.about(threads)
        state.write(self.folder)  # first, because it shows that the other files are a sweep's
        try:
            write_text(self.folder / MANIFEST, plan.corpus.to_jsonl(self.folder))
            if plan.needs_conversions and write_trials(plan.corpus, self.folder):
                self.lists = str(self.folder)
        except OSError as error:
            raise RunError(f"{self.folder} cannot be written ({error}); choose another --out") from error
        if plan.sampling.sampler != "optuna":
            self._enter(plan.cells)
        self.count = sum(plan.is_open(state, name) for name in self.cells if name in state.cells)
        self.count += max(0, (plan.sampling.count or 0) - len(self._chosen()))

    def rounds(self, jobs: int) -> Iterator[list[Cell]]:
        """The cells to train: all at once, or with Optuna `jobs` at a time, after those that were not finished.

        A round waits for all of its cells, so that what Optuna suggests does not depend on which of them ends first.
        """
        sampling = self.plan.sampling
        if unfinished := [cell for cell in self._chosen() if self.plan.is_open(self.state, cell.name)]:
            yield unfinished
        by_settings = {json.dumps(cell.settings): cell for cell in self.plan.cells}
        while sampling.sampler == "optuna" and (left := (sampling.count or 0) - len(self._chosen())) > 0:
            tried = ranked(self._chosen(), self.state)
            suggestions = suggested_settings(self.plan.axes, tried, min(jobs, left), sampling.seed)
            cells = [by_settings[json.dumps(settings)] for settings in suggestions]
            self._enter(cells)
            yield cells

    def _chosen(self) -> list[Cell]:
        """The cells that are in the table already. With Optuna, in the order in which they were chosen."""
        if self.plan.sampling.sampler != "optuna":
            return list(self.plan.cells)
        return [self.cells[name] for name in self.state.cells if name in self.cells]

    def _enter(self, cells: Iterable[Cell]) -> None:
        """Add cells to the table, unless they are there."""
        for cell in cells:
            criterion = cell.recipe.training.criterion
            entry = {"settings": cell.settings, "digest": cell.digest, "criterion": criterion, "status": "waiting"}
            self.state.cells[cell.name] = {**entry, **self.state.cells.get(cell.name, {})}
        self.state.write(self.folder)

    def passes(self, cells: Sequence[Cell], *, ahead: bool) -> Iterator[list[Task]]:
        """Tasks for cells, in lists that run one after the other.

        With pruning, the cells train for some epochs first, and then those that are not weak to the end.

        Args:
            cells: The cells of a round.
            ahead: Whether tasks that run the frozen stages common to several cells come first.
        """
        if not self.plan.prune_after:
            yield self.tasks(cells, ahead=ahead)
            return
        pruner = Pruner(self.plan.prune_after, self.state, self.folder)
        undecided = pruner.undecided(cells)
        yield self.tasks(pruner.to_train(undecided), ahead=ahead, early=True)
        for cell in pruner.stop_weak(undecided, self._chosen()):
            self.done += 1
            self.say(f"[{self.done}/{self.count}] {cell.name}: {self._summary(self.state.cells[cell.name])}")
        statuses = {cell.name: self.state.cells[cell.name]["status"] for cell in cells}
        failed = [cell for cell in undecided if statuses[cell.name] == "failed"]
        yield self.tasks(
            [cell for cell in cells if cell not in failed and statuses[cell.name] not in ("pruned", "done")],
            ahead=False,
        )

    def tasks(self, cells: Sequence[Cell], *, ahead: bool, early: bool = False) -> list[Task]:
        """One task per cell.

        With `ahead`, tasks that run the frozen stages common to several cells come first. With `early`, the cells pause
        at the epoch of the pruning.
        """
        fills: list[Task] = []
        wait: dict[str, str] = {}
        if ahead and self.common["cache"]:
            untrained = [cell for cell in cells if not is_run(self.folder / CELLS / cell.name)]
            for number, (groups, names) in enumerate(filling(untrained), 1):
                # These run one after another: cells with different backbones may still share mels and pitch.
                after = (fills[-1].name,) if fills else ()
                fills.append(Task("fill", f"frozen-stages-{number}", tuple(groups), after=after, **self.common))
                wait |= dict.fromkeys(names, fills[-1].name)
        tasks = list(fills)
        for cell in cells:
            entry = self.state.cells[cell.name]
            tasks.append(
                Task(
                    "train",
                    cell.name,
                    (CellGroup(cell.source, cell.overrides, cell.minutes),),
                    folders=(str(self.folder / CELLS / cell.name),),
                    resume=entry.get("resumable", True),
                    pause_after=(self.plan.prune_after or 0) if early else 0,
                    after=(wait[cell.name],) if cell.name in wait else (),
                    **self.common,
                )
            )
        return tasks

    def measuring_tasks(self, jobs: int) -> list[Task]:
        """Tasks that measure the conversions of trained cells. Each loads the measuring models once, for many cells."""
        names = [cell.name for cell in self._chosen() if self._is_unmeasured(self.state.cells[cell.name])]
        if not names or not self.lists:
            return []
        size = min(CELLS_PER_MEASURING_TASK, -(-len(names) // jobs))
        parts = [names[first : first + size] for first in range(0, len(names), size)]
        return [
            Task(
                "listen",
                f"similarity-{number}",
                folders=tuple(str(self.folder / CELLS / name) for name in part),
                lists=self.lists,
                **self.common,
            )
            for number, part in enumerate(parts, 1)
        ]

    def _is_unmeasured(self, cell: Mapping[str, Any]) -> bool:
        return cell["status"] == "done" and cell["converts"] and "conversions" not in cell

    def begins(self, task: Task) -> None:
        """Record that a task is running, so that a killed sweep shows it as unfinished."""
        if task.kind == "train":
            self.state.cells[task.name]["status"] = "running"
            self.state.write(self.folder)

    def ended(self, task: Task, outcome: Outcome) -> None:
        """Record the outcome of a task, and report it."""
        result = outcome.results or {}
        if task.kind == "train":
            cell = self.state.cells[task.name]
            for name in ("reason", "resumable", "notes", "conversions"):
                cell.pop(name, None)
            cell |= {"status": outcome.status, **result}
            if outcome.status != "done":
                cell |= {"reason": outcome.reason, "resumable": outcome.resumable}
            self.done += outcome.status != "paused"
            self.state.write(self.folder)
            self.say(f"[{self.done}/{self.count}] {task.name}: {self._summary(cell)}")
        elif outcome.status == "failed":
            self.say(f"{task.name}: {outcome.reason}; the sweep continues without it")
        elif task.kind == "listen" and result:
            self.state.yardsticks = result["yardsticks"]
            for name, measurements in result["cells"].items():
                self.state.cells[name] |= measurements
            self.state.write(self.folder)
            self.say(f"{task.name}: measured the conversions of {len(result['cells'])} cells")
        elif task.kind == "fill" and result:
            self.say(f"{task.name}: ran over recordings {result['recordings']} times, and cached the outputs")

    def finish(self) -> tuple[Table, list[Path], list[str]]:
        """Write the table and the plots, and return them with the notes for their reader."""
        table = Table.of(self.state, self.plan.measures)
        notes = [note for note in (best_line(table), *self.plan.notes, *self._notes()) if note]
        self.state.about["notes"] = notes
        self.state.table, self.state.means = table.records(), table.means()
        self.state.write(self.folder)
        plots: list[Path] = []
        try:
            write_text(self.folder / f"{TABLE}.csv", to_csv(self.state.table))
            tables = [to_markdown(rows, len(table.axes)) for rows in (texts(table), texts_of_means(table)) if rows]
            bullets = "".join(f"- {note}\n" for note in notes)
            write_text(self.folder / f"{TABLE}.md", "\n".join([*tables, bullets] if bullets else tables))
            if self.state.means:
                write_text(self.folder / f"{MEANS}.csv", to_csv(self.state.means))
            sampled = self.plan.sampling.sampler != "grid"
            plots = draw_table(table, self.folder / PLOTS, self.state.yardsticks, sampled=sampled)
        except PluginError as error:
            notes.append(f"the plots were not drawn: {error}")
        except OSError as error:
            raise RunError(f"{self.folder} cannot be written ({error}); free some space and run it again") from error
        return table, plots, notes

    def _notes(self) -> list[str]:
        """The notes on the cells' figures, each once, with the cells that it is about."""
        cells_by_note: dict[str, list[str]] = {}
        for name, cell in self.state.cells.items():
            for note in cell.get("notes", ()):
                cells_by_note.setdefault(note, []).append(name)
        return [
            note if len(names) == len(self.state.cells) else f"{'; '.join(names)}: {note}"
            for note, names in cells_by_note.items()
        ]

    def _summary(self, cell: Mapping[str, Any]) -> str:
        if cell["status"] != "done":
            return f"{cell['status']}{': ' if cell.get('reason') else ''}{cell.get('reason', '')}"
        parts = [f"{name} {value:.3f}" for name, value in figures_of(cell, self.plan.measures).items()]
        return f"{', '.join(parts)} ({cell['metrics']['seconds']:.1f} s of training)"
