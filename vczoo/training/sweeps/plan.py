"""The plan of a sweep: its cells and recordings, checked before anything is trained or written."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from vczoo.data.corpus import Corpus
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import CorpusError, RunError, VczooError
from vczoo.evaluation.metrics.speaker_embedding import missing_speaker_model
from vczoo.io.files import write_fault
from vczoo.io.plain_yaml import dump_plain, parse_plain
from vczoo.io.text import counted, truncated_list
from vczoo.models.resolve import nest, read_values
from vczoo.runs.run import is_run
from vczoo.training.sweeps.cells import Cell, cells_of
from vczoo.training.sweeps.grid import Axis, read_grid, shown
from vczoo.training.sweeps.measures import SIMILARITY, check_measures, is_wanted
from vczoo.training.sweeps.pruning import check_pruning
from vczoo.training.sweeps.sampling import Sampling, check_sampling, drawn_settings
from vczoo.training.sweeps.state import CELLS, State, read_state
from vczoo.training.sweeps.summary import incomparable
from vczoo.training.sweeps.table import merged_axes

__all__ = ["Plan", "plan_sweep"]


@dataclass(frozen=True)
class Plan:
    """The cells that a sweep will train, and everything that they share.

    Attributes:
        axes: The axes of the grid.
        cells: The cells to train; with the sampler `optuna`, those that it may choose from.
        corpus: The recordings.
        shared: Everything that all cells have in common, as in `State.shared`.
        measures: The requested figures; None for all.
        notes: Remarks that a reader of the table needs.
        folder: The sweep's folder.
        sampling: How the cells to train are chosen.
        prune_after: The number of epochs after which weak cells stop; None to train every cell to the end.
    """

    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]
    corpus: Corpus
    shared: dict[str, Any]
    measures: tuple[str, ...] | None
    notes: tuple[str, ...]
    folder: Path
    sampling: Sampling = field(default_factory=Sampling)
    prune_after: int | None = None

    @property
    def needs_conversions(self) -> bool:
        """Whether similarity is requested and a speaker model is available."""
        return is_wanted(SIMILARITY, self.measures) and not missing_speaker_model()

    def is_open(self, state: State, name: str) -> bool:
        """Whether a cell still has to be trained: it is neither done nor pruned, or its run has been removed."""
        cell = state.cells.get(name, {})
        if cell.get("status") == "pruned" and cell["early"]["epochs"] == self.prune_after:
            return False
        return state.cells.get(name, {}).get("status") != "done" or not is_run(self.folder / CELLS / name)

    def merged(self, state: State) -> dict[str, Any]:
        """Everything that the cells share, including the recipes of earlier grids."""
        return {**self.shared, "recipes": {**state.shared.get("recipes", {}), **self.shared["recipes"]}}

    def axes_with(self, state: State) -> dict[str, list[Any]]:
        """The axes, including the values of earlier grids."""
        return merged_axes(state.axes, self.axes)

    def about(self, threads: int) -> dict[str, Any]:
        """Everything that the figures depend on besides the recipe and the recordings."""
        versions = {name: metadata.version(name) for name in ("vczoo", "torch", "soxr")}
        plain = {"python": platform.python_version(), "versions": versions, "threads": threads}
        plain |= {} if self.prune_after is None else {"prune_after": self.prune_after}
        return plain | ({"sampling": sampling} if (sampling := self.sampling.to_plain()) else {})

    def lines(self, state: State) -> list[str]:
        """A readable summary: the number of cells, what they share, and how many are trained already."""
        over = " x ".join(f"{axis.name} {', '.join(map(shown, axis.values))}" for axis in self.axes)
        data = self.shared["data"]
        done = sum(not self.is_open(state, cell.name) for cell in self.cells)
        backbones = {dump_plain(cell.recipe.backbone.model_dump()) for cell in self.cells}
        which = f"{len(backbones)} backbone{'s' * (len(backbones) != 1)}"
        return [
            f"{self._counted()}: {over}",
            f"shared: {data['recordings']} recordings of {data['speakers']} speakers, the same validation and test; "
            f"{which}, whose frozen stages run once per recording",
            *([f"{done} of them trained already"] if done else []),
            *(
                []
                if self.prune_after is None
                else [f"cells worse than the median after epoch {self.prune_after} stop there"]
            ),
            *self.notes,
        ]

    def _counted(self) -> str:
        """The number of cells, and how they are chosen."""
        sampling, cells = self.sampling, counted(len(self.cells), "cell")
        size = math.prod(len(axis.values) for axis in self.axes)
        if sampling.sampler == "random":
            return f"{cells}, drawn from the {size} of the grid"
        return f"{sampling.count} of {cells}, chosen by Optuna" if sampling.sampler == "optuna" else cells

    def rows(self, state: State) -> list[dict[str, str]]:
        """A readable table of the cells with their status."""
        untried = "may be chosen" if self.sampling.sampler == "optuna" else "to be trained"
        return [
            {
                **{axis.name: shown(cell.settings[axis.name]) for axis in self.axes},
                "folder": f"{CELLS}/{cell.name}",
                "state": state.cells.get(cell.name, {}).get("status", untried),
            }
            for cell in self.cells
        ]


def plan_sweep(
    name: str | os.PathLike[str] | None,
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: Path,
    grid: Iterable[str] | Mapping[str, Sequence[Any]],
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    measures: Sequence[str] | None = None,
    jobs: int | None = None,
    speaker: str | None = None,
    sampling: Sampling | None = None,
    prune_after: int | None = None,
) -> Plan:
    """Check a sweep and plan it, without writing anything. The arguments are those of `sweep`.

    Raises:
        VczooError: The sweep is invalid, as for `sweep`.
    """
    if jobs is not None and jobs < 1:
        raise VczooError(f"jobs must be 1 or more, got {jobs}")
    if fault := write_fault(out):
        raise RunError(f"{out}: no sweep can be written there ({fault}); choose another --out")
    if isinstance(measures, str) or (measures is not None and not measures):
        raise VczooError(f"measures must be a list of names, such as accuracy and similarity; got {measures!r}")
    sampling = sampling or Sampling()
    axes = read_grid(grid, *([math.inf] if sampling.sampler == "random" else []))
    check_sampling(sampling, axes)
    drawn = drawn_settings(axes, sampling.count or 0, sampling.seed) if sampling.sampler == "random" else None
    source = None if name is None else _absolute(os.fspath(name))
    shared = nest(overrides)
    cells = cells_of(source, shared, axes, drawn)
    if sampling.sampler == "optuna" and (reason := _incomparable(cells, axes)):
        raise VczooError(f"--sampler optuna compares cells by validation, but {reason}")
    check_pruning(prune_after, cells, axes)
    if measures is not None:
        check_measures(measures, [cell.recipe for cell in cells])
    corpus = read_corpus(data, speaker=speaker)
    if not corpus.split("validation"):
        raise CorpusError(
            "no recording is marked for validation, which decides when training stops; mark some in the manifest, "
            "or leave the split column empty"
        )
    _check_minutes(corpus, cells)
    sources = dict.fromkeys(cell.source for cell in cells)
    common = {
        "recipes": {source: _plain(read_values(source, shared)) for source in sources},
        "overrides": _plain(shared),
        "data": {
            "fingerprint": corpus.fingerprint(),
            "recordings": len(corpus.utterances),
            "speakers": len(corpus.speakers),
            "training_minutes": {name: round(s / 60, 2) for name, s in corpus.training_seconds().items()},
        },
    }
    state = read_state(out)
    if state.shared:
        state.refuse_others(common, {cell.name: cell.digest for cell in cells}, out)
    names = None if measures is None else tuple(measures)
    return Plan(
        axes, tuple(cells), corpus, common, names, tuple(_notes(corpus, cells, names)), out, sampling, prune_after
    )


def _incomparable(cells: Sequence[Cell], axes: Sequence[Axis]) -> str:
    return incomparable({cell.recipe.training.criterion for cell in cells}, axes)


def _check_minutes(corpus: Corpus, cells: Sequence[Cell]) -> None:
    """Raise CorpusError if the fewest minutes of a seed leave a speaker without recordings; more minutes never do."""
    fewest: dict[int, float] = {}
    for cell in cells:
        if cell.minutes is not None:
            seed = cell.recipe.training.seed
            fewest[seed] = min(cell.minutes, fewest.get(seed, cell.minutes))
    for seed, minutes in fewest.items():
        corpus.within(minutes, seed)


def _notes(corpus: Corpus, cells: Sequence[Cell], measures: Sequence[str] | None) -> list[str]:
    notes = list(corpus.notes)
    amounts = sorted({cell.minutes for cell in cells if cell.minutes is not None})
    short: list[str] = []
    for speaker, seconds in corpus.training_seconds().items():
        if more := [shown(minutes) for minutes in amounts if 60 * minutes > seconds]:
            short.append(
                f"{speaker} has {seconds / 60:.2g} minutes for training, fewer than the {', '.join(more)} asked for"
            )
    notes += truncated_list(short)
    if is_wanted(SIMILARITY, measures) and (advice := missing_speaker_model()):
        notes.append(f"similarity is not measured, because no speaker model is available; {advice}")
    return notes


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """The values as they are read back from JSON, without tuples and shared parts."""
    return parse_plain(dump_plain(values), "overrides") if values else {}


def _absolute(source: str) -> str:
    """The absolute path of a recipe's file, because other processes may run in other folders."""
    return os.path.abspath(os.path.expanduser(source)) if source.endswith((".yaml", ".yml")) else source
