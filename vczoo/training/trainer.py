"""The fine-tuning loop.

`fit` leaves the best epoch's weights in the model, or the last epoch's if the settings say so.
"""

from __future__ import annotations

import copy
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from vczoo.io.progress import Callback
from vczoo.io.tensor_file import some_names
from vczoo.io.tensors import finite
from vczoo.models.model import Model
from vczoo.models.selection_metric import best_epoch, score
from vczoo.models.training_settings import Training
from vczoo.modules.freezing import apply_freezing
from vczoo.modules.interfaces.backbone import Freezing
from vczoo.training.activations import frozen_depth
from vczoo.training.checkpoint import CHECKPOINT, TrainingState, checkpoint_tensors, load_checkpoint, save_checkpoint
from vczoo.training.distributed import DistributedContext
from vczoo.training.optimizer import count_trained, make_optimizer, rate_share, set_rates, trainable
from vczoo.training.segments import SegmentBatches
from vczoo.training.sharding import shard, whole
from vczoo.training.step import Step, Sums, ahead, diverged, evaluate, train_step
from vczoo.training.training_folder import write_output

__all__ = ["LOG", "Fit", "fit", "interruptible", "run_frozen", "seed_of"]

LOG = "metrics.jsonl"
CHECKPOINT_SECONDS = 15.0  # at least, between checkpoints: short epochs would spend more time writing than training
LOOK_EVERY = 20  # steps between reads of the loss, if reading it makes the processor wait


@dataclass(frozen=True)
class Fit:
    """The result of a fine-tune.

    Attributes:
        history: One record per epoch, as in metrics.jsonl.
        best_epoch: The best epoch by the settings' criterion; -1 if nothing trained.
        kept_epoch: The epoch whose weights were kept: the best one, or with `keep: last` the last. -1 if nothing
            trained.
        seconds: The time spent on training.
        parameters: The number of parameters that trained in at least one epoch.
    """

    history: list[dict[str, Any]]
    best_epoch: int
    kept_epoch: int
    seconds: float
    parameters: int = 0


def fit(
    model: Model,
    freezing: Freezing,
    settings: Training,
    train: SegmentBatches,
    validation: SegmentBatches,
    *,
    folder: Path,
    begin: TrainingState,
    watcher: Callback,
    team: DistributedContext,
    measure_conversions: Callable[[], dict[str, float]] | None = None,
    objectives: nn.ModuleList | None = None,
) -> Fit:
    """Train everything that the freezing strategy does not freeze.

    At the end the model has the weights of the best epoch, or of the last one, as `settings.keep` says. The stages that
    are frozen in an epoch do not run in it: segments are cut from their cached outputs.

    A checkpoint in `folder` is resumed and gives the same weights as an uninterrupted run. With a different number of
    processes they differ by rounding and dropout. The first Ctrl-C finishes the current step, writes a checkpoint and
    raises KeyboardInterrupt; a second Ctrl-C stops at once. This function uses torch's global random state, so fork
    that state around the call.

    Args:
        model: The model to train, on the context's device.
        freezing: The strategy that chooses which stages are frozen in each epoch.
        settings: The recipe's training settings.
        train: Batches of the training split.
        validation: Batches of the validation split.
        folder: The run's folder, for metrics.jsonl and the checkpoint.
        begin: The state to begin with, unless `folder` has a checkpoint. A checkpoint of another identity is refused.
        watcher: The callback that reports progress.
        team: The processes that train together.
        measure_conversions: Called after each epoch; its figures are added to those of validation.
        objectives: Terms of the loss besides those of the heads; they train and are in the checkpoint.

    Raises:
        VczooError: Training diverged: the loss, the validation or a weight is not finite. The message names the epoch
            and step; the last checkpoint is kept.
        RunError: A checkpoint cannot be written or resumed.
        KeyboardInterrupt: Training was interrupted, after it wrote a checkpoint.
    """
    freezing.prepare(model.backbone)
    objectives = (objectives or nn.ModuleList()).to(team.device)
    owned = trainable(model, freezing, settings.epochs, objectives)
    if not any(True for _ in owned.parameters()):
        run_frozen((train, validation), _depth(model, freezing, 0), watcher, team)
        return Fit([], -1, -1, 0.0)
    final, parameters = owned, count_trained(model, freezing, settings.epochs)
    if team.sharded:  # a copy is sharded, so that the model itself stays whole
        model, objectives = copy.deepcopy(model), copy.deepcopy(objectives)
        owned = trainable(model, freezing, settings.epochs, objectives)
        shard([*owned["backbone"].children(), *model.heads.values(), *objectives], team.device, team.processes)
    optimizer = team.accelerator.prepare_optimizer(make_optimizer(model, settings, team.device, objectives))
    steps = -(-len(train) // settings.batch_size)
    state, best = begin, whole(owned.state_dict())

    saved_at = time.monotonic()

    def save() -> None:
        nonlocal saved_at
        tensors = checkpoint_tensors(owned, best, optimizer)
        if beyond := [name for name, tensor in tensors.items() if not finite(tensor)]:
            raise diverged(
                f"NaN or infinity in {some_names(beyond)} after epoch {state.epoch}, step {state.step}", settings
            )
        team.on_main_process(lambda: save_checkpoint(folder / CHECKPOINT, state, tensors))
        saved_at = time.monotonic()

    if team.agreed((folder / CHECKPOINT).is_file()):
        state, best = load_checkpoint(folder / CHECKPOINT, begin.identity, owned, optimizer)
        team.wait()
    else:  # save at once, so that any interruption can be resumed and a full disk is noticed before the work is done
        save()
    total = settings.epochs * steps

    def rate_at(step: int) -> float:
        return settings.learning_rate * rate_share(settings, step, total)

    watcher.begin(settings.epochs, steps, state.epoch * steps + state.step)
    step, trained = None, frozenset[str]()

    with interruptible() as interrupted:
        while state.epoch < settings.epochs and state.epoch - max(state.best_epoch, 0) <= settings.patience:
            began = time.perf_counter()
            multipliers = apply_freezing(model.backbone, freezing, state.epoch)
            try:
                run_frozen((train, validation), frozen_depth(multipliers), watcher, team, interrupted)
            except KeyboardInterrupt:  # it may have come while the previous epoch was validated
                save()
                raise
            trains = frozenset(name for name, value in model.named_parameters() if value.requires_grad)
            if step is None or trains != trained:  # wrapping fixes which gradients are averaged over processes
                step, trained = team.wrap(Step(model, team, objectives)), trains
            model.train()
            if model.vocoder:
                model.vocoder.eval()
            sums = Sums(state)
            batches = train.epoch(
                settings.batch_size,
                seed_of(settings.seed, state.epoch, 2),
                first=state.step,
                rank=team.rank,
                processes=team.processes,
            )
            for batch in ahead(batches) if team.device.type == "cuda" else batches:
                rate = rate_at(state.epoch * steps + state.step)
                set_rates(optimizer, rate, settings.backbone_rate, multipliers)
                # Seed every step, so that a resumed run draws the same random numbers in every process.
                team.seed(seed_of(settings.seed, state.epoch * steps + state.step, 1 + 2 * team.rank))
                figures_of_step = train_step(step, model, optimizer, batch.to(team.device), settings, team)
                sums.add(figures_of_step, len(batch.speakers) if batch.share else 0)
                state.step += 1
                # Reading the loss makes the CPU wait for the GPU, and the processes for each other.
                if team.device.type == "cpu" or state.step % LOOK_EVERY == 0 or state.step == steps:
                    for _ in range(sums.unseen):
                        watcher.step(sums.look(settings, steps))
                    sums.unseen = 0
                    if team.anybody(interrupted.is_set()):
                        state.seconds += time.perf_counter() - began
                        sums.settle(team)
                        save()
                        raise KeyboardInterrupt
            sums.settle(team)
            team.level(model.buffers())
            figures = evaluate(model, validation, team)
            if measure_conversions:
                if team.sharded:
                    final.load_state_dict(whole(owned.state_dict()))
                figures |= team.agreed(measure_conversions() if team.is_main_process else {})
            epoch_score = score(figures, settings.criterion)
            if not all(map(math.isfinite, epoch_score)):
                shown = ", ".join(f"{name} {value:g}" for name, value in figures.items() if not math.isfinite(value))
                raise diverged(f"the validation after epoch {state.epoch} is not finite ({shown})", settings)
            if settings.keep == "last" or not state.history or epoch_score < state.best_score:
                state.best_score, state.best_epoch = epoch_score, state.epoch
                best = whole(owned.state_dict())
            seconds = time.perf_counter() - began
            record = {
                "epoch": state.epoch,
                "learning_rate": rate_at((state.epoch + 1) * steps - 1),
                "trained_stages": sum(value > 0 for value in multipliers),
                "train": {name: value / state.items for name, value in state.sums.items()},
                "validation": figures,
                "seconds": round(seconds, 3),
            }
            state.history.append(record)
            state.epoch, state.step, state.sums, state.items = state.epoch + 1, 0, {}, 0
            state.seconds += seconds
            if team.agreed(time.monotonic() - saved_at >= CHECKPOINT_SECONDS):
                save()
            lines = "".join(json.dumps(line) + "\n" for line in state.history)
            team.on_main_process(partial(write_output, folder / LOG, lines))
            watcher.epoch(record)
    if step is None:  # resumed after the last epoch: what follows reads the frozen stages as that epoch did
        train.features.at(_depth(model, freezing, max(0, state.epoch - 1)))
    final.load_state_dict(best)
    model = train.features.model.eval()
    freezing.finish(model.backbone)
    train.features.renew()  # the strategy may have frozen stages that it had trained
    best_by_criterion = best_epoch(state.history, settings.criterion, "best")
    return Fit(state.history, best_by_criterion, state.best_epoch, state.seconds, parameters)


def run_frozen(
    clips: Iterable[SegmentBatches],
    depth: int,
    watcher: Callback,
    team: DistributedContext,
    interrupted: threading.Event | None = None,
) -> None:
    """Fill the feature cache: run the frozen stages, and the teacher, on the recordings that are not cached yet.

    Each process runs its share. Afterwards training continues from stage `depth`.

    Args:
        clips: The splits to run on, all from the same `Features`.
        depth: The number of frozen stages.
        watcher: The callback that reports progress.
        team: The processes that share the work.
        interrupted: An event that stops the work once it is set.

    Raises:
        KeyboardInterrupt: `interrupted` was set. Finished recordings stay cached.
    """
    splits = list(clips)
    features = splits[0].features
    features.at(depth)
    uncached = list(dict.fromkeys(pair for split in splits for pair in split.uncached()))
    uncached_by_teacher = list(dict.fromkeys(pair for split in splits for pair in split.uncached_by_teacher()))
    team.wait()  # all processes must have read the cache before any of them adds to it
    for source, pairs in ((features, uncached), (features.teacher, uncached_by_teacher)):
        for done in source.fill(pairs[team.rank :: team.processes]) if source else ():
            watcher.hearing(min(len(pairs), done * team.processes), len(pairs))
            if interrupted and interrupted.is_set():
                features.flush()
                break
    if interrupted and team.anybody(interrupted.is_set()):
        raise KeyboardInterrupt
    team.wait()
    features.refresh()


def _depth(model: Model, freezing: Freezing, epoch: int) -> int:
    return frozen_depth(apply_freezing(model.backbone, freezing, epoch))


def seed_of(seed: int, epoch: int, purpose: int) -> int:
    """A seed for one purpose in one epoch (or step). Consecutive arguments give seeds that are far apart."""
    return (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + purpose * 0x94D049BB133111EB) % 2**63


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event that the training loop checks between steps."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    previous = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)
