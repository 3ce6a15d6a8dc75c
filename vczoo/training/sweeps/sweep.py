"""Hyperparameter sweeps: `sweep` trains and measures one run for each combination of a grid.

It writes the runs, one table and plots into a folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vczoo.errors import PluginError, RunError
from vczoo.io.device import choose_device
from vczoo.io.files import sweep_partials, write_text
from vczoo.io.html_table import html_table
from vczoo.io.lock import held
from vczoo.runs.run import MANIFEST, is_run
from vczoo.training.sweeps.measures import figures_of
from vczoo.training.sweeps.plan import Plan, plan_sweep
from vczoo.training.sweeps.plots import draw_table
from vczoo.training.sweeps.processes import Pool, Processes
from vczoo.training.sweeps.ray_pool import RayTasks, import_ray
from vczoo.training.sweeps.schedule import filling, work_off
from vczoo.training.sweeps.scoring import write_trials
from vczoo.training.sweeps.state import CELLS, LOGS, State, read_state
from vczoo.training.sweeps.summary import best_line, texts, texts_of_means
from vczoo.training.sweeps.table import Row, Table, to_csv, to_markdown
from vczoo.training.sweeps.tasks import CellGroup, Outcome, Task
from vczoo.training.training_folder import LOCK

__all__ = ["PLOTS", "TABLE", "Sweep", "sweep"]

TABLE, MEANS, PLOTS = "table", "means", "plots"
CELLS_PER_MEASURING_TASK = 16  # at most: a process saves its measurements only when it ends

Location = str | os.PathLike[str]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sweep:
    """The result of a sweep.

    Attributes:
        folder: The folder with the runs, `table.csv`, `table.md`, `sweep.json`, the plots and, for several seeds,
            `means.csv`.
        table: One row per cell, including cells of earlier sweeps into the same folder.
        plots: The plot files, as PNG and as SVG.
        notes: The best cell by validation, and remarks that a reader of the table needs.
    """

    folder: Path
    table: Table
    plots: tuple[Path, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"<Sweep of {len(self.table.rows)} cells{failed}, {self.folder}>"

    def _repr_html_(self) -> str:
        """The table for notebooks: one row per cell, then the means over seeds."""
        tables = [rows for rows in (texts(self.table), texts_of_means(self.table)) if rows]
        return "".join(map(html_table, tables)) + html_table((), self.notes)

    @property
    def failed(self) -> tuple[Row, ...]:
        """The cells that could not be trained, with the reasons."""
        return tuple(row for row in self.table.rows if row.status == "failed")

    def rows(self) -> list[dict[str, Any]]:
        """The table as plain values, one mapping per cell, with the columns of `table.csv`."""
        return self.table.records()

    def means(self) -> list[dict[str, Any]]:
        """The mean and the standard deviation of each measure over seeds, with the columns of `means.csv`.

        It is empty unless the sweep has several seeds.
        """
        return self.table.means()


def sweep(
    name: Location | None,
    data: Location | Sequence[Location],
    out: Location,
    grid: Iterable[str] | Mapping[str, Sequence[Any]],
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    measures: Sequence[str] | None = None,
    jobs: int | None = None,
    ray: bool = False,
    cache: Location | bool = True,
    device: str | None = None,
    say: Say = lambda line: None,
    speaker: str | None = None,
) -> Sweep:
    """Fine-tune a recipe for every combination of some settings, and compare the results.

    Each combination is a cell: an ordinary run that `finetune` trains in a separate process. A cell that fails does not
    stop the others. Calling `sweep` again trains the cells that are missing, failed or were interrupted. A different
    grid adds cells to the folder.

    Args:
        name: A recipe or its .yaml file; None if the grid names the recipes.
        data: The recordings, as for `finetune`. All cells share the validation and test splits.
        out: The folder to create, or the folder of a sweep to continue.
        grid: The settings to vary and their values, as `["freezing.trainable_stages=0,1,2", "minutes=1,3"]` or as a
            mapping of names to lists. Besides settings of the recipe, you can vary `minutes` (the most training speech
            per speaker; a smaller amount is always part of a larger one), `seed` (of training and of the choice of
            minutes) and `recipe`.
        overrides: Changes to every cell's recipe, as `["training.epochs=3"]` or as a mapping.
        measures: The figures for the table and plots, by full name or by the last part of it (`accuracy`). None means
            all figures measured on held-out speech, and `similarity`: the cosine similarity of held-out conversions to
            their target.
        jobs: The number of processes that train at the same time; they share torch's threads. The default is 1, or
            with Ray as many as its processors allow.
        ray: Whether to run the cells as tasks on a Ray cluster.
        cache: Where to keep the outputs of the frozen stages, as for `finetune`. The cells share the cache. If several
            train at the same time, their common frozen stages run once, before them.
        device: The device to train on, as for `finetune`. If there are several GPUs, each process gets one.
        say: Called with each status message.
        speaker: The speaker of single recordings in `data`, as for `finetune`.

    Raises:
        RecipeError: A cell's recipe is invalid. The message lists every fault of every cell.
        VczooError: The grid is invalid (the message lists every fault), `jobs` is below 1, or the device does not work
            here.
        CorpusError: The recordings cannot be used for training.
        RunError: `out` contains other files, a different sweep, or a sweep or training that is running now; or the disk
            cannot be written.
        PluginError: `ray` is true, but Ray is not installed.
        KeyboardInterrupt: The sweep was interrupted, after the running cells wrote checkpoints. On Ray, cells resume
            from their last regular checkpoint.
    """
    if ray:
        import_ray()
    choose_device(device)  # first, and not in every cell
    folder = Path(os.path.abspath(out))
    with held(folder / LOCK, what="another sweep or training runs here, or its processes are still ending") as lock:
        plan = plan_sweep(name, data, folder, grid, overrides, measures=measures, jobs=jobs, speaker=speaker)
        sweep_partials(folder)
        work = _Work(plan, read_state(folder), folder, say)
        threads = max(1, torch.get_num_threads() // (jobs or 1)) if jobs or not ray else 1
        work.prepare(cache, device, threads)
        todo = work.tasks(ahead=(jobs or 1) > 1 or ray)
        say("\n".join(plan.lines(work.state)))
        pool: Pool
        if ray:
            on_gpu = device != "cpu" and torch.cuda.is_available()
            pool = RayTasks(threads, jobs or max(1, len(todo)), on_gpu=on_gpu)
        else:
            gpus = _gpus() if device in {None, "cuda"} else ()
            pool = Processes(folder, jobs or 1, [lock], gpus)
        with pool:
            work_off(todo, pool, work.begins, work.ended)
            work_off(work.measuring_tasks(jobs or 1), pool, work.begins, work.ended)
        return work.finish()


class _Work:
    """A running sweep. It saves its state after each task."""

    def __init__(self, plan: Plan, state: State, folder: Path, say: Say) -> None:
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
        for name, cell in self.cells.items():
            criterion = cell.recipe.training.criterion
            entry = {"settings": cell.settings, "digest": cell.digest, "criterion": criterion, "status": "waiting"}
            state.cells[name] = {**entry, **state.cells.get(name, {})}
        state.write(self.folder)

    def tasks(self, *, ahead: bool) -> list[Task]:
        """One task per cell that is missing, failed or was interrupted.

        With `ahead`, tasks that run the frozen stages common to several cells come first.
        """
        pending = [cell for cell in self.plan.cells if self.plan.is_open(self.state, cell.name)]
        fills: list[Task] = []
        wait: dict[str, str] = {}
        if ahead and self.common["cache"]:
            untrained = [cell for cell in pending if not is_run(self.folder / CELLS / cell.name)]
            for number, (groups, names) in enumerate(filling(untrained), 1):
                # These run one after another: cells with different backbones may still share mels and pitch.
                after = (fills[-1].name,) if fills else ()
                fills.append(Task("fill", f"frozen-stages-{number}", tuple(groups), after=after, **self.common))
                wait |= dict.fromkeys(names, fills[-1].name)
        tasks = list(fills)
        for cell in pending:
            entry = self.state.cells[cell.name]
            tasks.append(
                Task(
                    "train",
                    cell.name,
                    (CellGroup(cell.source, cell.overrides, cell.minutes),),
                    folders=(str(self.folder / CELLS / cell.name),),
                    resume=entry.get("resumable", True),
                    after=(wait[cell.name],) if cell.name in wait else (),
                    **self.common,
                )
            )
        self.count = len(pending)
        return tasks

    def measuring_tasks(self, jobs: int) -> list[Task]:
        """Tasks that measure the conversions of trained cells. Each loads the measuring models once, for many cells."""
        names = [cell.name for cell in self.plan.cells if self._is_unmeasured(self.state.cells[cell.name])]
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
            self.done += 1
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

    def finish(self) -> Sweep:
        """Write the table and the plots."""
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
            plots = draw_table(table, self.folder / PLOTS, self.state.yardsticks)
        except PluginError as error:
            notes.append(f"the plots were not drawn: {error}")
        except OSError as error:
            raise RunError(f"{self.folder} cannot be written ({error}); free some space and run it again") from error
        return Sweep(self.folder, table, tuple(plots), tuple(notes))

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


def _gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as names for `CUDA_VISIBLE_DEVICES`."""
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return tuple(visible or map(str, range(torch.cuda.device_count())))
