"""Trainables: what a `Trainer` trains, with its batches, its step and its validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Event
from typing import Any

import torch
from torch import Tensor, nn

from vczoo.errors import ContractError, VczooError
from vczoo.io.progress import Callback
from vczoo.training.checkpoints.checkpoint import TrainingState

__all__ = ["Trainable", "seed_of"]


class Trainable:
    """What a `Trainer` trains. Subclass it, set the attributes, and implement `batches`, `step` and `validate`.

    The trainer seeds torch before each epoch, each step and each validation, so a resumed training draws the same
    random numbers as an uninterrupted one.

    Attributes:
        modules: Everything that training changes. A checkpoint holds it.
        optimizers: The optimizers of its parameters, by name (an identifier).
        weights: The part of `modules` that training is for: its weights are averaged and kept. By default all.
        result: The module that gets the kept weights at the end. By default `weights`.
        steps_per_epoch: The number of steps between validations.
        total_steps: The number of steps of the whole training. The last epoch may be shorter than the others.
        seed: Seed of the training.
    """

    modules: nn.Module
    optimizers: Mapping[str, torch.optim.Optimizer]
    steps_per_epoch: int
    total_steps: int
    seed: int = 0

    def check(self) -> None:
        """Check the attributes, before training.

        Raises:
            ContractError: An attribute is missing or cannot be used.
        """
        name = type(self).__name__
        missing = [
            each for each in ("modules", "optimizers", "steps_per_epoch", "total_steps") if not hasattr(self, each)
        ]
        if missing:
            raise ContractError(f"{name} has no {', '.join(missing)}; set these attributes in its __init__")
        if self.steps_per_epoch < 1 or self.total_steps < 0:
            raise ContractError(
                f"{name}.steps_per_epoch must be 1 or more, and total_steps 0 or more; got {self.steps_per_epoch} and "
                f"{self.total_steps}. Is there anything to train on?"
            )
        if wrong := [key for key in self.optimizers if not key.isidentifier()]:
            raise ContractError(f"{name}.optimizers: {wrong[0]!r} is not an identifier; name it, for example, adamw")

    @property
    def weights(self) -> nn.Module:
        """The part of `modules` whose weights are averaged and kept."""
        return self.modules

    @property
    def result(self) -> nn.Module:
        """The module that gets the kept weights at the end."""
        return self.weights

    @property
    def epochs(self) -> int:
        """The number of epochs; 0 if there is nothing to train."""
        return -(-self.total_steps // self.steps_per_epoch) if self.total_steps else 0

    def epoch_seed(self, epoch: int) -> int:
        """The seed that torch has when `batches` of an epoch are iterated."""
        return seed_of(self.seed, epoch, 2)

    def steps_in(self, epoch: int) -> int:
        """The number of steps of an epoch."""
        return min(self.steps_per_epoch, self.total_steps - epoch * self.steps_per_epoch)

    @property
    def device(self) -> torch.device:
        """The device of the modules."""
        return next(self.modules.parameters()).device

    def start_epoch(self, epoch: int, callback: Callback, interrupted: Event) -> None:
        """Prepare an epoch, for example freeze stages and put modules in training mode.

        Args:
            epoch: The number of the epoch.
            callback: All callbacks, for the progress of work that takes long.
            interrupted: Set after Ctrl-C. Work that takes long may then raise KeyboardInterrupt.
        """
        self.modules.train()

    def batches(self, epoch: int, first: int) -> Iterable[Any]:
        """The batches of an epoch, without the `first` ones, which a resumed training has already done."""
        raise NotImplementedError

    def step(self, batch: Any, number: int) -> Mapping[str, Tensor]:
        """Run forward, backward and the optimizers.

        Args:
            batch: One of `batches`.
            number: The number of the step since the beginning of the training.

        Returns:
            `loss` and other figures of the step, to be averaged over the epoch.
        """
        raise NotImplementedError

    def items(self, batch: Any) -> int:
        """The weight of a batch in the epoch's averages."""
        return 1

    def validate(self) -> dict[str, float]:
        """Figures of the current weights on held-out data; `{}` for none."""
        raise NotImplementedError

    def record(
        self, state: TrainingState, train: Mapping[str, float], validation: Mapping[str, float], seconds: float
    ) -> dict[str, Any]:
        """The line of metrics.jsonl for an epoch that has just been validated.

        Args:
            state: The state; `state.epoch` is this epoch.
            train: The averages of the figures of its steps.
            validation: The figures of its validation.
            seconds: The duration of the epoch.
        """
        return {"epoch": state.epoch, "train": train, "validation": validation, "seconds": round(seconds, 3)}

    def finish(self, state: TrainingState, callback: Callback) -> None:
        """Called at the end, when `result` has the kept weights, with the last state."""
        self.modules.eval()

    def diverged(self, what: str) -> VczooError:
        """The error for a training that diverged, as `what` shows."""
        return VczooError(f"{what}: training diverged. Lower the learning rate, and start again in a new folder")


def seed_of(seed: int, epoch: int, purpose: int) -> int:
    """A seed for one purpose in one epoch (or step). Consecutive arguments give seeds that are far apart."""
    return (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + purpose * 0x94D049BB133111EB) % 2**63
