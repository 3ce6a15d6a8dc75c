"""Hyperparameter sweeps: `sweep` trains and measures one run for each combination of a grid.

It writes the runs, one table and plots into a folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vczoo.io.data_frame import data_frame
from vczoo.io.device import choose_device
from vczoo.io.html_table import html_table
from vczoo.io.lock import held
from vczoo.io.temporary import sweep_partials
from vczoo.training.sweeps.plan import plan_sweep
from vczoo.training.sweeps.processes import Pool, Processes
from vczoo.training.sweeps.ray_pool import RayTasks, import_ray
from vczoo.training.sweeps.running_sweep import RunningSweep
from vczoo.training.sweeps.sampling import Sampler, Sampling
from vczoo.training.sweeps.schedule import work_off
from vczoo.training.sweeps.state import read_state
from vczoo.training.sweeps.summary import texts, texts_of_means
from vczoo.training.sweeps.table import Row, Table
from vczoo.training.training_folder import LOCK

__all__ = ["Sweep", "sweep"]

Location = str | os.PathLike[str]


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
        pruned = f", {len(self.pruned)} pruned" if self.pruned else ""
        return f"<Sweep of {len(self.table.rows)} cells{pruned}{failed}, {self.folder}>"

    def _repr_html_(self) -> str:
        """The table for notebooks: one row per cell, then the means over seeds."""
        tables = [rows for rows in (texts(self.table), texts_of_means(self.table)) if rows]
        return "".join(map(html_table, tables)) + html_table((), self.notes)

    @property
    def pruned(self) -> tuple[Row, ...]:
        """The cells that stopped early because they were weak, with the reasons."""
        return tuple(row for row in self.table.rows if row.status == "pruned")

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

    def to_pandas(self) -> Any:
        """The table as a `pandas.DataFrame`, one row per cell, with the columns of `table.csv`.

        Raises:
            PluginError: pandas is not installed.
        """
        return data_frame(self.rows())


def sweep(
    name: Location | None,
    data: Location | Sequence[Location],
    out: Location,
    grid: Iterable[str] | Mapping[str, Sequence[Any]],
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    sampler: Sampler = "grid",
    cells: int | None = None,
    sampler_seed: int = 0,
    prune_after: int | None = None,
    measures: Sequence[str] | None = None,
    jobs: int | None = None,
    ray: bool = False,
    cache: Location | bool = True,
    device: str | None = None,
    say: Callable[[str], None] = lambda line: None,
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
        sampler: `grid` trains every combination, `random` as many as `cells` of them. `optuna` chooses `cells`
            combinations one after another, by the validation of those before, with Optuna's TPE sampler.
        cells: The number of combinations that `random` and `optuna` train.
        sampler_seed: The seed of `random` and `optuna`.
        prune_after: The number of epochs after which weak cells stop: those whose validation is worse than the lower
            median of all cells after as many epochs. None trains every cell to the end. Fewer than four cells are not
            compared.
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
        VczooError: The grid is invalid (the message lists every fault), `jobs` is below 1, the sampler is unknown or
            does not fit `cells` or the grid, cells cannot be pruned, or the device does not work here.
        CorpusError: The recordings cannot be used for training.
        RunError: `out` contains other files, a different sweep, or a sweep or training that is running now; or the disk
            cannot be written.
        PluginError: `ray` is true, but Ray is not installed; or `sampler` is `optuna`, but Optuna is not.
        KeyboardInterrupt: The sweep was interrupted, after the running cells wrote checkpoints. On Ray, cells resume
            from their last regular checkpoint.
    """
    if ray:
        import_ray()
    choose_device(device)  # first, and not in every cell
    folder = Path(os.path.abspath(out))
    with held(folder / LOCK, what="another sweep or training runs here, or its processes are still ending") as lock:
        sampling = Sampling(sampler, cells, sampler_seed)
        plan = plan_sweep(
            name,
            data,
            folder,
            grid,
            overrides,
            measures=measures,
            jobs=jobs,
            speaker=speaker,
            sampling=sampling,
            prune_after=prune_after,
        )
        sweep_partials(folder)
        work = RunningSweep(plan, read_state(folder), folder, say)
        threads = max(1, torch.get_num_threads() // (jobs or 1)) if jobs or not ray else 1
        work.prepare(cache, device, threads)
        say("\n".join(plan.lines(work.state)))
        pool: Pool
        if ray:
            on_gpu = device != "cpu" and torch.cuda.is_available()
            pool = RayTasks(threads, jobs or max(1, work.count), on_gpu=on_gpu)
        else:
            gpus = _gpus() if device in {None, "cuda"} else ()
            pool = Processes(folder, jobs or 1, [lock], gpus)
        with pool:
            for batch in work.rounds(jobs or 1):
                ahead = (jobs or 1) > 1 or ray
                for tasks in work.passes(batch, ahead=ahead):
                    work_off(tasks, pool, work.begins, work.ended)
            work_off(work.measuring_tasks(jobs or 1), pool, work.begins, work.ended)
        table, plots, notes = work.finish()
    return Sweep(folder, table, tuple(plots), tuple(notes))


def _gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as names for `CUDA_VISIBLE_DEVICES`."""
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return tuple(visible or map(str, range(torch.cuda.device_count())))
