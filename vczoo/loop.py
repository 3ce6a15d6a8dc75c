"""The training loop, in the open: a model, a freezing strategy and clips in, the best weights in the model out."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from vczoo.checkpoint import CHECKPOINT, TrainingState, load_checkpoint, save_checkpoint
from vczoo.clips import Batch, Clips
from vczoo.criterion import score
from vczoo.errors import VczooError
from vczoo.files import write_text
from vczoo.freezing import apply_freezing
from vczoo.interfaces import Freezing, Loss
from vczoo.model import Model
from vczoo.recipe import Training

__all__ = ["LOG", "Fit", "Watcher", "evaluate", "fit", "interruptible", "seed_of", "trainable"]

LOG = "metrics.jsonl"


class Watcher(Protocol):
    """Hears how training goes: a progress bar, say."""

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Training starts: at most `epochs` of `steps` steps each, `done` steps of which lie behind."""

    def step(self, loss: float) -> None:
        """A step is done."""

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch is done; the record is a line of metrics.jsonl."""


@dataclass(frozen=True)
class Fit:
    """How a fine-tune went: one record an epoch, the best epoch (-1 when nothing trained), seconds of training."""

    history: list[dict[str, Any]]
    best_epoch: int
    seconds: float


def fit(
    model: Model,
    freezing: Freezing,
    settings: Training,
    train: Clips,
    validation: Clips,
    *,
    folder: Path,
    identity: str,
    watcher: Watcher,
    listen: Callable[[], dict[str, float]] | None = None,
) -> Fit:
    """Train what the strategy leaves free, and leave the best weights in the model, or the last, as settings say.

    A checkpoint in `folder` is resumed, and it gives the weights that an uninterrupted run would have given. The
    first Ctrl-C ends the running step, writes a checkpoint and raises KeyboardInterrupt; a second one is not
    waited for. Torch's global random state is used: fork it around the call.

    What `listen` finds after an epoch joins the figures of validation.

    Raises:
        VczooError: the loss is not finite, with the epoch and step.
        RunError: a checkpoint cannot be written or resumed.
        KeyboardInterrupt: after the checkpoint is written.
    """
    freezing.prepare(model.backbone)
    owned = trainable(model, freezing, settings.epochs)
    if not any(True for _ in owned.parameters()):
        return Fit([], -1, 0.0)
    optimizer = _optimizer(model, settings)
    steps = -(-len(train) // settings.batch_size)
    state, best = TrainingState(identity), {name: value.clone() for name, value in owned.state_dict().items()}
    if (folder / CHECKPOINT).is_file():
        state, best = load_checkpoint(folder / CHECKPOINT, identity, owned, optimizer)
    else:  # at once, so that whatever happens can be resumed and a full disk is noticed before the work is done
        save_checkpoint(folder / CHECKPOINT, state, owned, best, optimizer)
    total = settings.epochs * steps
    rates = [settings.learning_rate * _schedule(settings, step, total) for step in range(total)]
    watcher.begin(settings.epochs, steps, state.epoch * steps + state.step)

    with interruptible() as interrupted:
        while state.epoch < settings.epochs and state.epoch - max(state.best_epoch, 0) <= settings.patience:
            began = time.perf_counter()
            multipliers = apply_freezing(model.backbone, freezing, state.epoch)
            model.train()
            if model.vocoder:
                model.vocoder.eval()
            if not state.step:
                torch.manual_seed(seed_of(settings.seed, state.epoch, 1))
            batches = train.epoch(settings.batch_size, seed_of(settings.seed, state.epoch, 2))
            for index, batch in enumerate(batches):
                if index < state.step:
                    continue  # done before the interruption
                rate = rates[state.epoch * steps + index]
                _set_rates(optimizer, rate, settings.backbone_rate, multipliers)
                loss = _train_step(model, optimizer, batch, settings, state)
                state.step += 1
                watcher.step(loss)
                if interrupted.is_set():
                    state.seconds += time.perf_counter() - began
                    save_checkpoint(folder / CHECKPOINT, state, owned, best, optimizer)
                    raise KeyboardInterrupt
            figures = evaluate(model, validation) | (listen() if listen else {})
            found = score(figures, settings.criterion)
            if settings.keep == "last" or not state.history or found < state.best_score:
                state.best_score, state.best_epoch = found, state.epoch
                best = {name: value.clone() for name, value in owned.state_dict().items()}
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
            save_checkpoint(folder / CHECKPOINT, state, owned, best, optimizer)
            write_text(folder / LOG, "".join(json.dumps(line) + "\n" for line in state.history))
            watcher.epoch(record)
    owned.load_state_dict(best)
    freezing.finish(model.backbone)
    model.eval()
    return Fit(state.history, state.best_epoch, state.seconds)


@torch.inference_mode()
def evaluate(model: Model, clips: Clips) -> dict[str, float]:
    """Losses and figures averaged over whole utterances, in eval mode: `loss`, `<head>.loss`, `<head>.accuracy`.

    Nothing where there is no utterance.
    """
    model.eval()
    device = next(model.parameters()).device
    found: dict[str, list[float]] = {}
    for batch in clips.whole():
        on_device = batch.to(device)
        loss = _loss(model, on_device)
        for name, value in {"loss": loss.value, **loss.metrics}.items():
            found.setdefault(name, []).append(float(value))
    return {name: sum(values) / len(values) for name, values in found.items()}


def trainable(model: Model, freezing: Freezing, epochs: int) -> nn.ModuleDict:
    """The stages that the strategy ever thaws, and the heads: all that training can change, by name."""
    stages = model.backbone.stages()
    ever = [max(values) for values in zip(*(freezing.multipliers(len(stages), e) for e in range(epochs)), strict=True)]
    thawed = {stage.name: stage.module for stage, most in zip(stages, ever, strict=True) if most > 0}
    return nn.ModuleDict({"backbone": nn.ModuleDict(thawed), "heads": model.heads})


def _train_step(
    model: Model, optimizer: torch.optim.Optimizer, batch: Batch, settings: Training, state: TrainingState
) -> float:
    loss = _loss(model, batch.to(next(model.parameters()).device))
    value = float(loss.value.detach())
    if not math.isfinite(value):
        raise VczooError(
            f"the loss is {value} at epoch {state.epoch}, step {state.step}: training diverged. Lower "
            f"training.learning_rate (it is {settings.learning_rate:g}) and start again"
        )
    optimizer.zero_grad(set_to_none=True)
    loss.value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], settings.clip_norm)
    optimizer.step()
    size = len(batch.speakers)
    for name, figure in {"loss": loss.value.detach(), **loss.metrics}.items():
        state.sums[name] = state.sums.get(name, 0.0) + float(figure) * size
    state.items += size
    return value


def _loss(model: Model, batch: Batch) -> Loss:
    content = batch.content
    if content is None:
        assert batch.wave is not None
        content = model.content(batch.wave)
    return model.loss(content, batch.speakers, batch.pitch, batch.target, batch.reference)


def _optimizer(model: Model, settings: Training) -> torch.optim.Optimizer:
    """One parameter group a stage, in order, and the heads last."""
    groups: Sequence[Any] = [{"params": list(stage.module.parameters())} for stage in model.backbone.stages()]
    groups = [*groups, {"params": list(model.heads.parameters())}]
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=settings.learning_rate)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def _set_rates(optimizer: torch.optim.Optimizer, rate: float, backbone: float, multipliers: Sequence[float]) -> None:
    # A frozen parameter has no gradient, and the optimizer passes over it: no decay, no momentum.
    for group, multiplier in zip(optimizer.param_groups, [*(backbone * m for m in multipliers), 1.0], strict=True):
        group["lr"] = rate * multiplier


def _schedule(settings: Training, step: int, total: int) -> float:
    """Share of the learning rate at a step: a rise over the warm-up, then down to 0 or level."""
    warm = round(settings.warmup * total)
    if step < warm:
        return (step + 1) / warm
    progress = (step - warm) / max(1, total - warm)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - progress if settings.schedule == "linear" else 1.0


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
