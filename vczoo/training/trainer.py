"""The training loop: epochs, checkpoints, resuming, averaged weights and callbacks.

What is trained is a `Trainable`: fine-tuning and vocoder training are two, and users can write others.
"""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vczoo.errors import ContractError
from vczoo.io.log import logger
from vczoo.io.progress import Callback, CallbackList
from vczoo.io.tensor_file import some_names
from vczoo.io.tensors import finite
from vczoo.io.text import harmless
from vczoo.training.checkpoints.checkpoint import CHECKPOINT, LOG, TrainingState
from vczoo.training.checkpoints.weight_average import WeightAverage
from vczoo.training.distributed import DistributedContext
from vczoo.training.sharding import whole
from vczoo.training.trainable import Trainable, seed_of
from vczoo.training.training_folder import write_output

__all__ = ["Trainer", "interruptible"]

CHECKPOINT_SECONDS = 15.0  # at least, between checkpoints: short epochs would spend more time writing than training
LOOK_EVERY = 20  # steps between reads of the loss, if reading it makes the processor wait


class Trainer:
    """Trains a `Trainable`, and can be interrupted and resumed at any step.

    A checkpoint in the folder is resumed and gives the same weights as an uninterrupted training. With a different
    number of processes they differ by rounding and dropout.

    Args:
        trainable: What to train.
        folder: The folder for metrics.jsonl and checkpoint.safetensors. It is created if it does not exist.
        callbacks: What follows the training; see `Callback`.
        average: The decay of an exponential moving average of the weights, which is validated and kept instead of the
            weights; 0 for none.
        state: The state to begin with, unless the folder has a checkpoint. A checkpoint of another identity is refused.
        team: The processes that train together; by default this one.

    Attributes:
        state: The state of the training, which is what a checkpoint holds.

    Raises:
        ContractError: An attribute of the trainable is missing or cannot be used.
    """

    def __init__(
        self,
        trainable: Trainable,
        folder: str | os.PathLike[str],
        callbacks: Sequence[Callback] = (),
        *,
        average: float = 0.0,
        state: TrainingState | None = None,
        team: DistributedContext | None = None,
    ) -> None:
        trainable.check()
        self.trainable, self.folder, self.callbacks = trainable, Path(folder), CallbackList(*callbacks)
        self.team = team or DistributedContext(trainable.device, "float32")
        self.state = state or TrainingState()
        self.state.modules, self.state.optimizers = trainable.modules, trainable.optimizers
        self.state.average = WeightAverage(trainable.weights, average) if average else None
        self.interrupted = threading.Event()
        self._stopped = False
        self._saved_at = -math.inf

    def fit(self) -> TrainingState:
        """Train to the end, and leave the kept weights in `trainable.result`.

        The first Ctrl-C finishes the current step, writes a checkpoint and raises KeyboardInterrupt; a second one stops
        at once. This uses torch's global random state; fork that state around the call if you need it.

        Returns:
            The state after the last epoch, with the history.

        Raises:
            VczooError: Training diverged: the loss, the validation or a weight is not finite. The message names the
                epoch and step; the last checkpoint is kept.
            RunError: A checkpoint cannot be written or resumed.
            KeyboardInterrupt: Training was interrupted, after it wrote a checkpoint.
        """
        try:
            if self.trainable.epochs:
                self._train()
        finally:
            self.callbacks.end()
        self.trainable.finish(self.state, self.callbacks)
        return self.state

    @property
    def steps_done(self) -> int:
        """The number of finished steps."""
        return self.state.epoch * self.trainable.steps_per_epoch + self.state.step

    def keep_weights(self) -> None:
        """Keep the current weights: `trainable.result` gets them at the end, whatever follows."""
        average = self.state.average
        self.state.kept = whole(average.tensors if average else self.trainable.weights.state_dict())

    def stop(self) -> None:
        """End the training after the current epoch."""
        self._stopped = True

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            VczooError: A tensor is not finite.
            RunError: The disk cannot be written. The previous checkpoint is kept.
        """
        tensors, state = self.state.tensors(), self.state
        if beyond := [name for name, tensor in tensors.items() if not finite(tensor)]:
            raise self.trainable.diverged(
                f"NaN or infinity in {some_names(beyond)} after epoch {state.epoch}, step {state.step}"
            )
        self.team.on_main_process(partial(state.save, self.folder / CHECKPOINT, tensors))
        self._saved_at = time.monotonic()

    def _train(self) -> None:
        trainable, state, file = self.trainable, self.state, self.folder / CHECKPOINT
        resumes = self.team.agreed(file.is_file())
        if resumes:
            state.load(file)
            self.team.wait()
        self.callbacks.start(self)
        if not resumes:  # so that any interruption can be resumed and a full disk is noticed before the work is done
            self.save()
        self.callbacks.begin(trainable.epochs, trainable.steps_per_epoch, self.steps_done)
        with interruptible() as self.interrupted:
            while state.epoch < trainable.epochs and not self._stopped:
                began = time.perf_counter()
                self._run_steps(began)
                self._finish_epoch(began)
        if state.average and not state.kept:
            self.keep_weights()
        if state.kept:
            trainable.result.load_state_dict(state.kept)

    def _run_steps(self, began: float) -> None:
        """Run the steps of an epoch that are left."""
        trainable, state, team = self.trainable, self.state, self.team
        try:
            trainable.start_epoch(state.epoch, self.callbacks, self.interrupted)
        except KeyboardInterrupt:  # it may have come while the previous epoch was validated
            self.save()
            raise
        team.seed(trainable.epoch_seed(state.epoch))
        means, steps = _Means(), trainable.steps_in(state.epoch)
        for batch in trainable.batches(state.epoch, state.step):
            number = self.steps_done
            # Seed every step, so that a resumed run draws the same random numbers in every process.
            team.seed(seed_of(trainable.seed, number, 1 + 2 * team.rank))
            means.add(trainable.step(batch, number), trainable.items(batch))
            if state.average:
                state.average.update(number)
            state.step += 1
            # Reading the loss makes the CPU wait for the GPU, and the processes for each other.
            if team.device.type == "cpu" or state.step % LOOK_EVERY == 0 or state.step == steps:
                self._look(means, began)
        means.settle(state, team)

    def _look(self, means: _Means, began: float) -> None:
        """Report the loss, and stop if it is not finite or after Ctrl-C."""
        state, loss = self.state, means.last_loss
        if not math.isfinite(loss):
            steps = self.trainable.steps_in(state.epoch)
            raise self.trainable.diverged(
                f"the loss is {loss} at epoch {state.epoch}, step {state.step - 1} of {steps}"
            )
        for _ in range(means.unseen):
            self.callbacks.step(loss)
        means.unseen = 0
        if self.team.anybody(self.interrupted.is_set()):
            state.seconds += time.perf_counter() - began
            means.settle(state, self.team)
            self.save()
            raise KeyboardInterrupt

    def _finish_epoch(self, began: float) -> None:
        """Validate, keep a record of the epoch, and write a checkpoint if one is due."""
        trainable, state, team = self.trainable, self.state, self.team
        self._level_buffers()
        team.seed(seed_of(trainable.seed, state.epoch, 0))
        with state.average.applied() if state.average else nullcontext():
            figures = trainable.validate()
        self.callbacks.validated(figures)
        seconds = time.perf_counter() - began
        state.seconds += seconds
        train = {name: total / state.counts[name] for name, total in state.sums.items()}
        record = trainable.record(state, train, figures, seconds)
        state.history.append(record)
        state.epoch, state.step, state.sums, state.counts = state.epoch + 1, 0, {}, {}
        if team.agreed(time.monotonic() - self._saved_at >= CHECKPOINT_SECONDS):
            self.save()
        lines = "".join(json.dumps(line) + "\n" for line in state.history)
        team.on_main_process(partial(write_output, self.folder / LOG, lines))
        self.callbacks.epoch(record)
        logger.info(
            "%s: epoch %s of %s: %s", harmless(str(self.folder)), state.epoch, trainable.epochs, _shown(figures)
        )

    def _level_buffers(self) -> None:
        """Give all processes the running statistics of the main one."""
        self.team.level(self.trainable.modules.buffers())
        if self.state.average:
            buffers = {name for name, _ in self.trainable.weights.named_buffers()}
            self.team.level(tensor for name, tensor in self.state.average.tensors.items() if name in buffers)


class _Means:
    """Running sums of an epoch's figures, kept on the device so that no step waits for it."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.unseen = 0  # steps that are not reported to the callbacks yet
        self._last = torch.tensor(math.nan)

    @property
    def last_loss(self) -> float:
        """The loss of the last step, which is read from the device."""
        return float(self._last)

    def add(self, figures: Mapping[str, Tensor], items: int) -> None:
        """Add a step's figures, which are averages over `items` items.

        Raises:
            ContractError: There is no loss.
        """
        if "loss" not in figures:
            raise ContractError(f"step must return a mapping with `loss`; got {', '.join(figures) or 'an empty one'}")
        for name, figure in figures.items():
            value = torch.as_tensor(figure).detach().double() * items
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + items
        self.unseen += 1
        self._last = torch.as_tensor(figures["loss"]).detach()

    def settle(self, state: TrainingState, team: DistributedContext) -> None:
        """Add the sums of all processes to the state, and start again from zero."""
        sums = {name: float(value) for name, value in self.sums.items()}
        for process_sums, counts in team.everything([(sums, self.counts)]):
            for name, value in process_sums.items():
                state.sums[name] = state.sums.get(name, 0.0) + value
                state.counts[name] = state.counts.get(name, 0) + counts[name]
        self.sums, self.counts = {}, {}


def _shown(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items()) or "not validated"


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
