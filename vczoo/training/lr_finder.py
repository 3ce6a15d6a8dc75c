"""Learning-rate finder: a range test that trains while the learning rate rises.

This is the range test of Smith (arXiv:1506.01186, section 3.3), as fastai runs it: one mini-batch per rate, from far
too low to far too high. It uses the recipe's own model, freezing, optimizer and batches. The trained weights are
discarded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice, pairwise
from pathlib import Path
from typing import Any

import torch

from vczoo.errors import RecipeError, RunError, VczooError
from vczoo.io.files import write_fault
from vczoo.io.plotting import BLUE, GREEN, GREY, ORANGE, WIDTH_INCHES, legend_below, one_axes, save, set_title
from vczoo.io.precision import single_precision
from vczoo.io.progress import Callback, NullProgress, ProgressBar
from vczoo.models.training_settings import Training
from vczoo.training.features.activations import frozen_depth
from vczoo.training.features.batch import Batch
from vczoo.training.features.frozen_stages import run_frozen
from vczoo.training.features.segments import SegmentBatches
from vczoo.training.objectives.recipe_objectives import objectives_of
from vczoo.training.optimizer import make_optimizer, set_rates, trainable
from vczoo.training.session import TrainingSession
from vczoo.training.step import Step, train_step
from vczoo.training.trainable import seed_of

__all__ = ["RateSearch", "find_learning_rate", "plot_rates"]

Location = str | os.PathLike[str]

LOWEST, HIGHEST = 1e-7, 10.0
SMOOTHING = 0.98  # of the loss: each mini-batch moves the mean by a fiftieth, and the first ones by more
DIVERGED = 4.0  # times the lowest smoothed loss: the test stops, because higher rates would show nothing new
FEWEST = 40  # steps: with fewer, differences between batches hide the effect of the rate
UNSETTLED = 10  # steps, at least, that are ignored because the mean covers too few batches


@dataclass(frozen=True)
class RateSearch:
    """The result of a learning-rate range test.

    Attributes:
        rates: The learning rates of the heads, rising, one per step.
        losses: The loss of each step's batch.
        smoothed: The exponential moving average of the losses at each step.
        steepest: The rate at which the smoothed loss falls fastest, per decade.
        tenth: A tenth of the rate at which the smoothed loss is lowest.
    """

    rates: tuple[float, ...] = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)
    smoothed: tuple[float, ...] = field(repr=False)
    steepest: float
    tenth: float

    @classmethod
    def of(cls, rates: Sequence[float], losses: Sequence[float]) -> RateSearch:
        """Find the two suggested rates from the losses of a test.

        As in fastai, the first tenth of the steps (here at least ten) is ignored, because the mean covers few batches
        there. The last five are ignored, because the loss diverges there.

        Args:
            rates: The learning rate of each step, rising.
            losses: The loss of each step.

        Raises:
            VczooError: The loss diverged after too few steps, or it fell at no rate.
        """
        smoothed = _smooth(losses)
        points = list(zip(rates, smoothed, strict=True))[max(UNSETTLED, len(rates) // 10) : -5]
        if len(points) < 3:
            last = f"{rates[-1]:.1g}" if rates else f"{LOWEST:.1g}"
            raise VczooError(
                f"the loss diverged already at a learning rate of {last}, after {len(rates)} steps; check the "
                "recordings and training.clip_norm"
            )
        slopes = [(after[1] - before[1]) / math.log(after[0] / before[0]) for before, after in pairwise(points)]
        steepest = points[min(range(len(slopes)), key=slopes.__getitem__)][0]
        lowest = min(points, key=lambda point: point[1])[0]
        if lowest == points[0][0]:
            raise VczooError(
                f"the loss fell at no learning rate from {points[0][0]:.1g} to {points[-1][0]:.1g}; use more steps or "
                "larger batches (training.batch_size), or check the recordings"
            )
        return cls(tuple(rates), tuple(losses), tuple(smoothed), steepest, lowest / 10)

    @property
    def override(self) -> str:
        """The override to pass to `finetune`: the lower of the two rates, rounded to two digits."""
        return f"training.learning_rate={_rounded(min(self.steepest, self.tenth))}"

    def rows(self) -> list[dict[str, str]]:
        """The two suggested rates, rounded to two digits, and where they come from."""
        rates = {"the loss falls fastest": self.steepest, "a tenth of the rate with the lowest loss": self.tenth}
        return [{"learning rate": f"{_rounded(rate):g}", "because": text} for text, rate in rates.items()]


@single_precision()
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
    speaker: str | None = None,
) -> RateSearch:
    """Suggest a learning rate: train for a few steps while it rises from 1e-7 to 10, and see where the loss falls.

    Args:
        name: A recipe, a recipe's .yaml file, or a run's folder, as for `finetune`. A run is tuned to new speakers
            only, as with `rehearse` false.
        data: The recordings, as for `finetune`. Only the training split is used.
        overrides: Changes to the recipe, as for `finetune`. The schedule, the warm-up and the learning rate have no
            effect.
        steps: The number of steps of the test; it stops earlier if the loss diverges.
        out: A .png file for a plot of the test; None draws no plot.
        cache: Where to keep the outputs of the frozen stages, as for `finetune`.
        device: The device to train on; by default a GPU if there is one.
        progress: Whether to show progress on standard error.
        speaker: The speaker of single recordings in `data`, as for `finetune`.

    Raises:
        CorpusError, RecipeError, UnknownNameError, WeightsError: The recordings or the recipe cannot be used, as for
            `finetune`.
        RunError: `out` already exists, is not a .png file or cannot be written.
        VczooError: Nothing trains in this recipe, `steps` is too small, or the loss falls at no rate.
    """
    if steps < FEWEST:
        raise VczooError(f"a range test takes at least {FEWEST} steps, got {steps}")
    if out is not None:
        _check_plot(Path(out))
    with TrainingSession.open(
        name, data, overrides, rehearse=False, cache=cache, device=device, speaker=speaker, progress=progress
    ) as session:
        session.freezing.prepare(session.model)
        parts = trainable(session.model, session.freezing, session.settings.epochs)
        if not any(True for _ in parts.parameters()):
            raise RecipeError(session.recipe.name, ["nothing in it trains, so it has no learning rate to find"])
        with ProgressBar() if progress else NullProgress() as watcher:
            rates, losses = _range_test(session, steps, watcher)
    search = RateSearch.of(rates, losses)
    if out is not None:
        try:
            plot_rates(search, Path(out), session.recipe.name)
        except OSError as error:
            raise RunError(
                f"{out} cannot be written ({error.strerror or error}); the search found {search.override}"
            ) from error
    return search


def plot_rates(search: RateSearch, path: Path, title: str) -> Path:
    """Plot the loss over the learning rate, and mark the two suggested rates.

    Args:
        search: The result of the range test.
        path: The PNG file to write.
        title: The name of the recipe, for the plot's title.

    Raises:
        OSError: The disk cannot be written.
    """
    figure, axes = one_axes(WIDTH_INCHES, 3.0)
    axes.plot(search.rates, search.losses, ".", color=GREY, ms=3, alpha=0.6, label="a batch")
    axes.plot(search.rates, search.smoothed, color=BLUE, lw=1.6, label="smoothed")
    for rate, color, style, label in (
        (search.steepest, GREEN, (0, (4, 3)), f"steepest descent, {search.steepest:.1e}"),
        (search.tenth, ORANGE, (0, (1, 2)), f"a tenth of the lowest, {search.tenth:.1e}"),
    ):
        axes.axvline(rate, color=color, linewidth=1.4, linestyle=style, label=label)
    axes.set_xscale("log")
    axes.minorticks_off()
    low, high = min(search.losses), max(search.losses[: len(search.losses) // 2])  # a diverging loss may leave the plot
    room = 0.05 * (high - low or 1.0)
    axes.set(xlim=(LOWEST, HIGHEST), ylim=(low - room, high + room))
    axes.set(xlabel="learning rate of the heads", ylabel="loss")
    set_title(axes, f"Range test of {title}")
    legend_below(axes)
    return save(figure, path)


def _check_plot(path: Path) -> None:
    """Check, before training, that the plot can be written."""
    if path.exists():
        raise RunError(f"{path} exists; choose another file, or remove it")
    if path.suffix.lower() != ".png":
        raise RunError(f"{path}: the plot is a PNG; choose a name that ends in .png")
    if fault := write_fault(path):
        raise RunError(f"{path}: no plot can be written there ({fault}); choose another --out")


def _range_test(session: TrainingSession, steps: int, watcher: Callback) -> tuple[list[float], list[float]]:
    """Train as in the first epoch while the rate rises, until the loss diverges. Return the rates and the losses."""
    model, settings, team, batches = session.model, session.settings, session.team, session.splits["train"]
    multipliers = session.freezing.apply(model, 0)
    run_frozen((batches,), frozen_depth(multipliers), watcher, team)
    watcher.begin(1, steps, 0)
    objectives = objectives_of(session.recipe, session.freezing).to(team.device)
    optimizer = team.prepare(make_optimizer(model, settings, team.device, objectives))
    step = team.wrap(Step(model, team, objectives))
    model.train()
    if model.vocoder:
        model.vocoder.eval()
    torch.manual_seed(seed_of(settings.seed, 0, 1))
    rates: list[float] = []
    losses: list[float] = []
    for number, batch in enumerate(islice(_batches(batches, settings), steps)):
        rate = LOWEST * (HIGHEST / LOWEST) ** (number / (steps - 1))
        set_rates(optimizer, rate, settings.backbone_rate, multipliers)
        loss = float(train_step(step, optimizer, batch.to(team.device), settings, team)["loss"])
        if not math.isfinite(loss):
            break
        rates.append(rate)
        losses.append(loss)
        watcher.step(loss)
        smoothed = _smooth(losses)
        if smoothed[-1] > DIVERGED * min(smoothed):
            break
    return rates, losses


def _batches(clips: SegmentBatches, settings: Training) -> Iterator[Batch]:
    for epoch in count():
        yield from clips.epoch(settings.batch_size, seed_of(settings.seed, epoch, 2))


def _rounded(rate: float) -> float:
    return float(f"{rate:.1e}")


def _smooth(losses: Sequence[float]) -> list[float]:
    """The exponential moving average of the losses at each step, with bias correction."""
    mean, smoothed = 0.0, []
    for number, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed.append(mean / (1 - SMOOTHING**number))
    return smoothed
