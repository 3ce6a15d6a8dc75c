"""`sweep`: a recipe, a grid and recordings in; a trained and measured run for each cell, a table and plots out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vczoo.errors import PluginError, RunError
from vczoo.io.files import write_text
from vczoo.runs.run import MANIFEST, is_run
from vczoo.training.sweeps.plan import Plan, plan_sweep
from vczoo.training.sweeps.plots import draw_table
from vczoo.training.sweeps.processes import Pool, Processes
from vczoo.training.sweeps.ray_pool import RayTasks, import_ray
from vczoo.training.sweeps.schedule import filling, work_off
from vczoo.training.sweeps.scoring import write_trials
from vczoo.training.sweeps.state import CELLS, LOCK, LOGS, State, held, read_state
from vczoo.training.sweeps.table import Row, Table, figures_of, is_wanted
from vczoo.training.sweeps.tasks import CellGroup, Outcome, Task

__all__ = ["PLOTS", "TABLE", "Sweep", "sweep"]

TABLE, PLOTS = "table", "plots"
MOST_HEARD = 16  # cells that one process listens to: what it has measured is written down at its end

Location = str | os.PathLike[str]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        folder: where its runs, `table.csv`, `table.md`, `sweep.json` and plots are.
        table: a row a cell, of earlier sweeps into the folder, too.
        plots: the pictures, PNG and SVG.
        notes: what a reader of the table must know.
    """

    folder: Path
    table: Table
    plots: tuple[Path, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def failed(self) -> tuple[Row, ...]:
        """The cells that could not be trained, with reasons."""
        return tuple(row for row in self.table.rows if row.status == "failed")

    def rows(self) -> list[dict[str, str]]:
        """The table as text, under headings with units."""
        return self.table.texts()

    def brief(self) -> list[dict[str, str]]:
        """The same for a terminal, under short headings."""
        return self.table.brief()


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
) -> Sweep:
    """Fine-tune a recipe for every combination of some settings, and compare what comes out.

    Each combination, a cell, becomes an ordinary run, trained by `finetune` in a process of its own. A cell that fails
    does not stop the others. The same call goes on with what is missing, failed or was interrupted; another grid adds
    cells.

    Args:
        name: a recipe or its .yaml file; None where the grid names recipes.
        data: as for `finetune`. Validation and test are the same for every cell.
        out: the folder to make, or to go on in.
        grid: what is varied, `["freezing.trainable_stages=0,1,2", "minutes=1,3"]` or a mapping of names to lists.
            Beside settings of the recipe there are `minutes` (of each speaker's training speech, at most; what fewer
            take is among what more take), `seed` (of training and of the choice of minutes) and `recipe`.
        overrides: of every cell, `["training.epochs=3"]` or a mapping of the same.
        measures: figures for the table and plots, by their names or the last part of them (`accuracy`); None for all
            that are measured on held-out speech, and `similarity`, the cosine of conversions of it to their target.
        jobs: how many processes train at a time; they share torch's threads. By default one, with Ray as many as it
            has processors for.
        ray: whether cells are tasks of Ray, on its cluster.
        cache: as for `finetune`; cells share it. Where several train at a time, the frozen stages that they share run
            before them, once.
        device: as for `finetune`. Of several GPUs each process gets one.
        say: called with a line whenever there is something to tell.

    Raises:
        RecipeError: every fault of every cell's recipe.
        VczooError: every fault of the grid, or `jobs` is below 1.
        CorpusError: the recordings cannot be trained on.
        RunError: `out` holds something else, another sweep, or one that runs now; or the disk refuses.
        PluginError: Ray is asked for, and is not installed.
        KeyboardInterrupt: after the running cells have written checkpoints; on Ray they go on from the last ones.
    """
    if ray:
        import_ray()
    folder = Path(os.path.abspath(out))
    plan = plan_sweep(name, data, folder, grid, overrides, measures=measures, jobs=jobs)
    with held(folder / LOCK, what="another sweep runs here, or its processes are still ending") as lock:
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
            work_off(work.listening(jobs or 1), pool, work.begins, work.ended)
        return work.finish()


class _Work:
    """A sweep while it runs: what is known is written down after each task."""

    def __init__(self, plan: Plan, state: State, folder: Path, say: Say) -> None:
        self.plan, self.state, self.folder, self.say = plan, state, folder, say
        self.cells = {cell.name: cell for cell in plan.cells}
        self.count = self.done = 0
        self.lists = ""

    def prepare(self, cache: Location | bool, device: str | None, threads: int) -> None:
        """Write down what every cell has in common, and what they are measured on."""
        plan, state = self.plan, self.state
        for left in (self.folder / LOGS).glob(".*.json"):  # by processes whose sweep was killed
            left.unlink(missing_ok=True)
        self.common: dict[str, Any] = {
            "data": str(self.folder / MANIFEST),
            "cache": cache if isinstance(cache, bool) else os.path.abspath(cache),
            "device": device,
            "threads": threads,
        }
        state.shared = plan.merged(state)
        state.axes = plan.axes_with(state)
        state.about = plan.about(threads)
        try:
            write_text(self.folder / MANIFEST, plan.corpus.to_jsonl())
            if plan.needs_conversions and write_trials(plan.corpus, self.folder):
                self.lists = str(self.folder)
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be written ({error}); choose another --out") from error
        for name, cell in self.cells.items():
            known = {"settings": cell.settings, "digest": cell.digest, "status": "waiting"}
            state.cells[name] = {**known, **state.cells.get(name, {})}
        state.write(self.folder)

    def tasks(self, *, ahead: bool) -> list[Task]:
        """What is to be done: cells that are missing or failed, and before them the stages that they share."""
        pending = [cell for cell in self.plan.cells if self.plan.is_open(self.state, cell.name)]
        fills: list[Task] = []
        wait: dict[str, str] = {}
        if ahead and self.common["cache"]:
            untrained = [cell for cell in pending if not is_run(self.folder / CELLS / cell.name)]
            for number, (lessons, names) in enumerate(filling(untrained), 1):
                # One after another: backbones apart, their cells may share mels and pitch.
                after = (fills[-1].name,) if fills else ()
                fills.append(Task("fill", f"frozen-stages-{number}", tuple(lessons), after=after, **self.common))
                wait |= dict.fromkeys(names, fills[-1].name)
        found = list(fills)
        for cell in pending:
            before = self.state.cells[cell.name]
            found.append(
                Task(
                    "train",
                    cell.name,
                    (CellGroup(cell.source, cell.overrides, cell.minutes),),
                    folders=(str(self.folder / CELLS / cell.name),),
                    resume=before.get("resumable", True),
                    after=(wait[cell.name],) if cell.name in wait else (),
                    **self.common,
                )
            )
        self.count = len(pending)
        return found

    def listening(self, jobs: int) -> list[Task]:
        """Conversions to measure, of all cells that are trained; ears are loaded once for many of them."""
        names = [cell.name for cell in self.plan.cells if self._unheard(self.state.cells[cell.name])]
        if not names or not self.lists:
            return []
        size = min(MOST_HEARD, -(-len(names) // jobs))
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

    def _unheard(self, cell: Mapping[str, Any]) -> bool:
        return cell["status"] == "done" and cell["converts"] and "conversions" not in cell

    def begins(self, task: Task) -> None:
        """Write down that a task runs: should all of this be killed, it was interrupted."""
        if task.kind == "train":
            self.state.cells[task.name]["status"] = "running"
            self.state.write(self.folder)

    def ended(self, task: Task, outcome: Outcome) -> None:
        """Write down what came of it, and tell."""
        found = outcome.found or {}
        if task.kind == "train":
            cell = self.state.cells[task.name]
            for name in ("reason", "resumable", "notes", "conversions"):
                cell.pop(name, None)
            cell |= {"status": outcome.status, **found}
            if outcome.status != "done":
                cell |= {"reason": outcome.reason, "resumable": outcome.resumable}
            self.done += 1
            self.state.write(self.folder)
            self.say(f"[{self.done}/{self.count}] {task.name}: {self._told(cell)}")
        elif outcome.status == "failed":
            self.say(f"{task.name}: {outcome.reason}; the cells go on without it")
        elif task.kind == "listen" and found:
            self.state.yardsticks = found["yardsticks"]
            for name, heard in found["cells"].items():
                self.state.cells[name] |= heard
            self.state.write(self.folder)
            self.say(f"{task.name}: measured conversions of {len(found['cells'])} cells")
        elif task.kind == "fill" and found:
            self.say(f"{task.name}: run over recordings {found['recordings']} times, and kept")

    def finish(self) -> Sweep:
        """Write the table and the plots."""
        table = Table.of(self.state, self.plan.measures)
        notes = [*self.plan.notes, *self._notes()]
        self.state.about["notes"] = notes
        self.state.write(self.folder)
        plots: list[Path] = []
        try:
            write_text(self.folder / f"{TABLE}.csv", table.to_csv())
            under = "".join(f"- {note}\n" for note in notes)
            write_text(self.folder / f"{TABLE}.md", f"{table.to_markdown()}\n{under}".rstrip("\n") + "\n")
            plots = draw_table(table, self.folder / PLOTS, self.state.yardsticks, self.plan.held_out)
        except PluginError as error:
            notes.append(f"plots are not drawn: {error}")
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be written ({error}); free some space and go on") from error
        return Sweep(self.folder, table, tuple(plots), tuple(notes))

    def _notes(self) -> list[str]:
        """What must be said of the cells' figures, each thing once."""
        found: dict[str, list[str]] = {}
        for name, cell in self.state.cells.items():
            for note in cell.get("notes", ()):
                found.setdefault(note, []).append(name)
        return [
            note if len(names) == len(self.state.cells) else f"{'; '.join(names)}: {note}"
            for note, names in found.items()
        ]

    def _told(self, cell: Mapping[str, Any]) -> str:
        if cell["status"] != "done":
            return f"{cell['status']}{': ' if cell.get('reason') else ''}{cell.get('reason', '')}"
        figures = figures_of(cell)
        told = [f"{name} {value:.3f}" for name, value in figures.items() if is_wanted(name, self.plan.measures)]
        return f"{', '.join(told)} ({cell['metrics']['seconds']:.1f} s of training)"


def _gpus() -> tuple[str, ...]:
    """The GPUs of this machine that this process may use, by the names that `CUDA_VISIBLE_DEVICES` takes."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return tuple(named or map(str, range(torch.cuda.device_count())))
