"""The training loop, in the open: a model, a freezing strategy and clips in, the best weights in the model out."""

from __future__ import annotations

import copy
import json
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vczoo.io.files import write_text
from vczoo.io.progress import Callback
from vczoo.models.model import Model
from vczoo.models.selection_metric import score
from vczoo.models.training_settings import Training
from vczoo.modules.freezing import apply_freezing
from vczoo.modules.interfaces.backbone import Freezing
from vczoo.training.activations import frozen_depth
from vczoo.training.checkpoint import CHECKPOINT, TrainingState, checkpoint_tensors, load_checkpoint, save_checkpoint
from vczoo.training.distributed import DistributedContext
from vczoo.training.optimizer import count_trained, make_optimizer, rate_share, set_rates, trainable
from vczoo.training.segments import SegmentBatches
from vczoo.training.sharding import shard, whole
from vczoo.training.step import Step, Sums, ahead, evaluate, train_step

__all__ = ["LOG", "Fit", "fit", "interruptible", "run_frozen", "seed_of"]

LOG = "metrics.jsonl"
CHECKPOINT_SECONDS = 15.0  # between checkpoints of epochs: short ones would wait for the disk more than they train
LOOK_EVERY = 20  # steps between looks at the loss, where a look costs


@dataclass(frozen=True)
class Fit:
    """How a fine-tune went: one record an epoch, the best epoch (-1 when nothing trained), seconds of training, and
    how many parameters trained in some epoch.
    """

    history: list[dict[str, Any]]
    best_epoch: int
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
    identity: str,
    watcher: Callback,
    team: DistributedContext,
    listen: Callable[[], dict[str, float]] | None = None,
) -> Fit:
    """Train what the strategy leaves free, and leave the best weights in the model, or the last, as settings say.

    The stages that are frozen in an epoch are not run in it: excerpts are cut from what they gave once. A checkpoint in
    `folder` is resumed, and it gives the weights that an uninterrupted run would have given; with another number of
    processes, the same but for rounding and dropout. The first Ctrl-C ends the running step, writes a checkpoint and
    raises KeyboardInterrupt; a second one is not waited for. Torch's global random state is used: fork it around the
    call.

    What `listen` finds after an epoch joins the figures of validation.

    Raises:
        VczooError: the loss is not finite, with the epoch and step.
        RunError: a checkpoint cannot be written or resumed.
        KeyboardInterrupt: after the checkpoint is written.
    """
    freezing.prepare(model.backbone)
    owned = trainable(model, freezing, settings.epochs)
    if not any(True for _ in owned.parameters()):
        run_frozen((train, validation), _depth(model, freezing, 0), watcher, team)
        return Fit([], -1, 0.0)
    final, parameters = owned, count_trained(model, freezing, settings.epochs)
    if team.sharded:  # a copy trains in parts, so that the model itself stays whole
        model = copy.deepcopy(model)
        owned = trainable(model, freezing, settings.epochs)
        shard([*owned["backbone"].children(), *model.heads.values()], team.device, team.processes)
    optimizer = team.accelerator.prepare_optimizer(make_optimizer(model, settings, team.device))
    steps = -(-len(train) // settings.batch_size)
    state, best = TrainingState(identity), whole(owned.state_dict())

    kept = time.monotonic()

    def keep() -> None:
        nonlocal kept
        tensors = checkpoint_tensors(owned, best, optimizer)
        team.on_main_process(lambda: save_checkpoint(folder / CHECKPOINT, state, tensors))
        kept = time.monotonic()

    if team.agreed((folder / CHECKPOINT).is_file()):
        state, best = load_checkpoint(folder / CHECKPOINT, identity, owned, optimizer)
        team.wait()
    else:  # at once, so that whatever happens can be resumed and a full disk is noticed before the work is done
        keep()
    total = settings.epochs * steps
    rates = [settings.learning_rate * rate_share(settings, step, total) for step in range(total)]
    watcher.begin(settings.epochs, steps, state.epoch * steps + state.step)
    step, trained = None, frozenset[str]()

    with interruptible() as interrupted:
        while state.epoch < settings.epochs and state.epoch - max(state.best_epoch, 0) <= settings.patience:
            began = time.perf_counter()
            multipliers = apply_freezing(model.backbone, freezing, state.epoch)
            try:
                run_frozen((train, validation), frozen_depth(multipliers), watcher, team, interrupted)
            except KeyboardInterrupt:  # which may have come while the epoch before this one was validated
                keep()
                raise
            trains = frozenset(name for name, value in model.named_parameters() if value.requires_grad)
            if step is None or trains != trained:  # what is averaged over processes is settled when it is wrapped
                step, trained = team.wrap(Step(model, team, consistency=settings.consistency)), trains
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
                rate = rates[state.epoch * steps + state.step]
                set_rates(optimizer, rate, settings.backbone_rate, multipliers)
                # Anew in each step, so that a resumed one draws what it would have drawn, in every process.
                team.seed(seed_of(settings.seed, state.epoch * steps + state.step, 1 + 2 * team.rank))
                found = train_step(step, model, optimizer, batch.to(team.device), settings, team)
                sums.add(found, len(batch.speakers) if batch.share else 0)
                state.step += 1
                # A look at the loss makes the processor wait for a GPU, and the processes for each other.
                if team.device.type == "cpu" or state.step % LOOK_EVERY == 0 or state.step == steps:
                    for _ in range(sums.unseen):
                        watcher.step(sums.look(settings, steps))
                    sums.unseen = 0
                    if team.anybody(interrupted.is_set()):
                        state.seconds += time.perf_counter() - began
                        sums.settle(team)
                        keep()
                        raise KeyboardInterrupt
            sums.settle(team)
            team.level(model.buffers())
            figures = evaluate(model, validation, team)
            if listen:
                if team.sharded:
                    final.load_state_dict(whole(owned.state_dict()))
                figures |= team.agreed(listen() if team.is_main_process else {})
            reached = score(figures, settings.criterion)
            if settings.keep == "last" or not state.history or reached < state.best_score:
                state.best_score, state.best_epoch = reached, state.epoch
                best = whole(owned.state_dict())
            spent = time.perf_counter() - began
            record = {
                "epoch": state.epoch,
                "learning_rate": rates[(state.epoch + 1) * steps - 1],
                "trained_stages": sum(value > 0 for value in multipliers),
                "train": {name: value / state.items for name, value in state.sums.items()},
                "validation": figures,
                "seconds": round(spent, 3),
            }
            state.history.append(record)
            state.epoch, state.step, state.sums, state.items = state.epoch + 1, 0, {}, 0
            state.seconds += spent
            if team.agreed(time.monotonic() - kept >= CHECKPOINT_SECONDS):
                keep()
            lines = "".join(json.dumps(line) + "\n" for line in state.history)
            team.on_main_process(partial(write_text, folder / LOG, lines))
            watcher.epoch(record)
    final.load_state_dict(best)
    model = train.features.model.eval()
    freezing.finish(model.backbone)
    train.features.renew()  # a strategy may have frozen again what it had trained
    return Fit(state.history, state.best_epoch, state.seconds, parameters)


def run_frozen(
    clips: Iterable[SegmentBatches],
    depth: int,
    watcher: Callback,
    team: DistributedContext,
    interrupted: threading.Event | None = None,
) -> None:
    """Run the first `depth` stages, and a teacher, over what they have not heard yet, each process its share, and go on
    from there.

    Args:
        clips: of one `Features`.
        depth: how many stages are frozen.
        watcher: hears how far it is.
        team: that the work is shared by.
        interrupted: is set where it should stop.

    Raises:
        KeyboardInterrupt: it was set; what is done is kept.
    """
    splits = list(clips)
    features = splits[0].features
    features.at(depth)
    wanted = list(dict.fromkeys(pair for split in splits for pair in split.wanted()))
    lessons = list(dict.fromkeys(pair for split in splits for pair in split.lessons()))
    team.wait()  # until all have seen what is there, before anybody adds to it
    for source, pairs in ((features, wanted), (features.teacher, lessons)):
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
    """A seed for one purpose in one epoch; neighbours are far apart."""
    return (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + purpose * 0x94D049BB133111EB) % 2**63


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event that the loop looks at between steps."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
