"""A recipe and recordings in; the loss over a rising learning rate, and the rate to train with, out.

The range test of Smith (arXiv:1506.01186, section 3.3), as fastai runs it: a mini-batch a rate, from far too low to far
too high. The recipe's own model, freezing, optimizer and batches are used; nothing of what is trained is kept.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice, pairwise
from pathlib import Path
from typing import Any

import torch

from vczoo.conversion.load import read_name, read_run
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import RecipeError, RunError, VczooError
from vczoo.io.optional_imports import require
from vczoo.io.plotting import BLUE, GREEN, GREY, ORANGE, one_axes, save, set_title
from vczoo.io.progress import NullProgress, ProgressBar
from vczoo.models.build import build_freezing, checked_recipe
from vczoo.models.model import Model
from vczoo.models.teacher import build_teacher
from vczoo.models.training_settings import Training
from vczoo.modules.freezing import apply_freezing
from vczoo.runs.warm_start import build_initial_model
from vczoo.training.activations import frozen_depth
from vczoo.training.annotation_checks import check_annotations
from vczoo.training.batch import Batch
from vczoo.training.distributed import DistributedContext
from vczoo.training.optimizer import make_optimizer, set_rates, trainable
from vczoo.training.segments import SegmentBatches
from vczoo.training.setup import check_consistency, check_versions, features_of, recipe_of_run, segments_by_split
from vczoo.training.step import Step, train_step
from vczoo.training.trainer import run_frozen, seed_of

__all__ = ["RateSearch", "find_learning_rate", "plot_rates"]

Location = str | os.PathLike[str]

LOWEST, HIGHEST = 1e-7, 10.0
SMOOTHING = 0.98  # of the loss: each mini-batch moves the mean by a fiftieth, the first of them by more
DIVERGED = 4.0  # times the lowest smoothed loss: the rest would tell nothing
FEWEST = 40  # steps: with fewer, what the batches differ by hides what the rate does
UNSETTLED = 10  # steps, at least, in which the mean is of too few batches


@dataclass(frozen=True)
class RateSearch:
    """What a range test found.

    Attributes:
        rates: learning rates of the heads, rising, one a step.
        losses: of each step's batch.
        smoothed: their mean over the steps so far, recent ones weighing more.
        steepest: the rate at which the smoothed loss falls fastest, per decade.
        tenth: a tenth of the rate at which it is lowest.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    steepest: float
    tenth: float

    @classmethod
    def of(cls, rates: Sequence[float], losses: Sequence[float]) -> RateSearch:
        """Read the two rates off the losses of a test.

        As fastai does, the first tenth of the steps is left out, where the mean is of few batches (here at least
        ten steps), and the last five, where the loss leaves.

        Raises:
            VczooError: the loss diverged before there was anything to read, or it fell at no rate.
        """
        smoothed = _smooth(losses)
        kept = list(zip(rates, smoothed, strict=True))[max(UNSETTLED, len(rates) // 10) : -5]
        if len(kept) < 3:
            first = f"{rates[-1]:.1g}" if rates else f"{LOWEST:.1g}"
            raise VczooError(
                f"the loss diverged at a learning rate of {first} already, after {len(rates)} steps: look at "
                "the recordings, or at training.clip_norm"
            )
        slopes = [(after[1] - before[1]) / math.log(after[0] / before[0]) for before, after in pairwise(kept)]
        steepest = kept[min(range(len(slopes)), key=slopes.__getitem__)][0]
        lowest = min(kept, key=lambda one: one[1])[0]
        if lowest == kept[0][0]:
            raise VczooError(
                f"the loss fell at no learning rate from {kept[0][0]:.1g} to {kept[-1][0]:.1g}: take more steps, "
                "larger batches (training.batch_size), or look at the recordings"
            )
        return cls(tuple(rates), tuple(losses), tuple(smoothed), steepest, lowest / 10)

    @property
    def override(self) -> str:
        """What to give to `finetune`: the lower of the two, to two digits."""
        return f"training.learning_rate={float(f'{min(self.steepest, self.tenth):.1e}')}"

    def rows(self) -> list[dict[str, str]]:
        """A table: the smoothed loss at the rates that the test passed, a decade or so apart, and the two found."""
        notes = {self._nearest(self.steepest): "steepest descent", self._nearest(self.tenth): "a tenth of the lowest"}
        step = max(1, round(len(self.rates) / 8))
        shown = sorted({*range(0, len(self.rates), step), len(self.rates) - 1, *notes})
        return [
            {"learning rate": f"{self.rates[n]:.2g}", "loss": f"{self.smoothed[n]:.4f}", "": notes.get(n, "")}
            for n in shown
        ]

    def _nearest(self, rate: float) -> int:
        return min(range(len(self.rates)), key=lambda number: abs(math.log(self.rates[number] / rate)))


def find_learning_rate(
    name: Location,
    data: Location | Sequence[Location],
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    steps: int = 100,
    out: Location | None = None,
    cache: Location | bool = True,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> RateSearch:
    """Train for a few steps while the learning rate rises from 1e-7 to 10, and see where the loss falls.

    Args:
        name: a recipe, a recipe's .yaml file, or a run's folder, as for `finetune`; a run is taken as where it is
            tuned to speakers of its own (`rehearse` false).
        data: as for `finetune`; what is marked for training is used.
        overrides: as for `finetune`; the schedule, the warm-up and the learning rate do not matter.
        steps: of the test, unless the loss diverges before.
        out: a .png file to draw it in.
        cache: as for `finetune`.
        device: where it computes; a GPU where there is one.
        progress: show it on standard error.

    Raises:
        CorpusError, RecipeError, UnknownNameError, WeightsError: as `finetune`.
        PluginError: there is `out`, and matplotlib is not installed.
        RunError: `out` exists.
        VczooError: nothing trains in this recipe, too few steps, or the loss falls at no rate.
    """
    if steps < FEWEST:
        raise VczooError(f"a range test takes at least {FEWEST} steps, got {steps}")
    if out is not None:
        require("matplotlib", "a plot", "eval")  # now, not after all the work
        if Path(out).exists():
            raise RunError(f"{out} exists; choose another file, or remove it")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    kind, place = read_name(name)
    start = read_run(kind, place)
    recipe = recipe_of_run(start.recipe, False, overrides) if start else checked_recipe(place, overrides)
    corpus = read_corpus(data)
    speakers = tuple(sorted({utterance.speaker for utterance in corpus.split("train")}))
    settings = recipe.training
    team = DistributedContext(device, settings.precision)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = (start or build_initial_model(recipe, len(speakers), corpus.labels)).model
        for speaker_head in model.speaker_heads.values() if start else ():
            speaker_head.restart(len(speakers))
        for label_head in model.label_heads.values() if start and corpus.labels else ():
            label_head.relabel(corpus.labels)
        model.to(device)
        check_annotations(model, corpus, settings.crop_seconds)
        freezing = build_freezing(recipe)
        freezing.prepare(model.backbone)
        parts = trainable(model, freezing, settings.epochs)
        if not any(True for _ in parts.parameters()):
            raise RecipeError(recipe.name, ["nothing in it trains, so there is no learning rate to find"])
        check_versions(parts, settings)
        check_consistency(parts, settings)
        teacher = build_teacher(recipe, model)
        features = features_of(recipe, model, cache, teacher.to(device) if teacher else None)
        clips = segments_by_split(features, corpus, speakers, settings)["train"]
        with ProgressBar() if progress else NullProgress() as watcher:
            multipliers = apply_freezing(model.backbone, freezing, 0)
            run_frozen((clips,), frozen_depth(multipliers), watcher, team)
            watcher.begin(1, steps, 0)
            rates, losses = [], []
            for rate, loss in _range_test(model, multipliers, settings, clips, steps, team):
                rates.append(rate)
                losses.append(loss)
                watcher.step(loss)
                smoothed = _smooth(losses)
                if smoothed[-1] > DIVERGED * min(smoothed):
                    break
    found = RateSearch.of(rates, losses)
    if out is not None:
        plot_rates(found, Path(out), recipe.name)
    return found


def plot_rates(found: RateSearch, path: Path, title: str) -> Path:
    """Draw the loss over the learning rate, with the two rates that are read off it.

    Raises:
        PluginError: matplotlib is not installed.
        OSError: the disk refuses.
    """
    figure, axes = one_axes(6.4, 3.4)
    axes.plot(found.rates, found.losses, ".", color=GREY, ms=3, alpha=0.6, label="a batch")
    axes.plot(found.rates, found.smoothed, color=BLUE, lw=1.6, label="smoothed")
    for rate, colour, label in (
        (found.steepest, GREEN, f"steepest descent, {found.steepest:.1e}"),
        (found.tenth, ORANGE, f"a tenth of the lowest, {found.tenth:.1e}"),
    ):
        axes.axvline(rate, color=colour, linewidth=1.0, linestyle=(0, (4, 4)), label=label)
    axes.set_xscale("log")
    axes.minorticks_off()
    low, high = min(found.losses), max(found.losses[: len(found.losses) // 2])  # what diverges goes off the page
    room = 0.05 * (high - low or 1.0)
    axes.set(xlim=(LOWEST, HIGHEST), ylim=(low - room, high + room))
    axes.set(xlabel="learning rate of the heads", ylabel="loss")
    set_title(axes, f"Range test of {title}")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8)
    return save(figure, path)


def _range_test(
    model: Model,
    multipliers: Sequence[float],
    settings: Training,
    clips: SegmentBatches,
    steps: int,
    team: DistributedContext,
) -> Iterator[tuple[float, float]]:
    """Train a step at each rate, as the first epoch would; each rate with its loss, until that is not finite."""
    optimizer = team.accelerator.prepare_optimizer(make_optimizer(model, settings, team.device))
    step = team.wrap(Step(model, team, consistency=settings.consistency))
    model.train()
    if model.vocoder:
        model.vocoder.eval()
    torch.manual_seed(seed_of(settings.seed, 0, 1))
    for number, batch in enumerate(islice(_batches(clips, settings), steps)):
        rate = LOWEST * (HIGHEST / LOWEST) ** (number / (steps - 1))
        set_rates(optimizer, rate, settings.backbone_rate, multipliers)
        loss = float(train_step(step, model, optimizer, batch.to(team.device), settings, team)["loss"])
        if not math.isfinite(loss):
            return
        yield rate, loss


def _batches(clips: SegmentBatches, settings: Training) -> Iterator[Batch]:
    for epoch in count():
        yield from clips.epoch(settings.batch_size, seed_of(settings.seed, epoch, 2))


def _smooth(losses: Sequence[float]) -> list[float]:
    """The exponential mean of the losses so far, as if there had been nothing before the first."""
    mean, smoothed = 0.0, []
    for number, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed.append(mean / (1 - SMOOTHING**number))
    return smoothed
