"""Fine-tuning of a model as a `Trainable`: its freezing, its batches, its learning rates and its validation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from threading import Event
from typing import Any, cast

from torch import Tensor, nn

from vczoo.errors import VczooError
from vczoo.io.progress import Callback
from vczoo.models.model import Model
from vczoo.models.model_freezing import ModelFreezing
from vczoo.models.training_settings import Training
from vczoo.training.checkpoints.checkpoint import TrainingState
from vczoo.training.distributed import DistributedContext
from vczoo.training.features.activations import frozen_depth
from vczoo.training.features.batch import Batch
from vczoo.training.features.frozen_stages import run_frozen
from vczoo.training.features.segments import SegmentBatches
from vczoo.training.objectives.objective import Objective
from vczoo.training.optimizer import count_trained, make_optimizer, rate_share, set_rates, trainable
from vczoo.training.sharding import shard, whole
from vczoo.training.step import Step, ahead, diverged, evaluate, train_step
from vczoo.training.trainable import Trainable

__all__ = ["TrainableModel"]


class TrainableModel(Trainable):
    """Trains everything in a model that the freezing strategy does not freeze.

    The stages that are frozen in an epoch do not run in it: segments are cut from their cached outputs.

    Args:
        model: The model to train, on the context's device.
        freezing: The strategies that choose what is frozen in each epoch.
        settings: The recipe's training settings.
        train: Batches of the training split.
        validation: Batches of the validation split.
        team: The processes that train together.
        measure_conversions: Called after each epoch; its figures are added to those of validation.
        objectives: Terms of the loss besides those of the heads. Their modules train and are in checkpoints, but never
            in a run.

    Attributes:
        parameters: The number of parameters that train in at least one epoch.
        unmerged: The tensors of the trained model before changes of weights were merged into them, by their names in
            `Model.tensors`; empty before training ends, and unless what trained is small beside the model.
    """

    def __init__(
        self,
        model: Model,
        freezing: ModelFreezing,
        settings: Training,
        train: SegmentBatches,
        validation: SegmentBatches,
        team: DistributedContext,
        measure_conversions: Callable[[], dict[str, float]] | None = None,
        objectives: nn.ModuleList | None = None,
    ) -> None:
        self.freezing, self.settings, self.team = freezing, settings, team
        self.objectives = (objectives or nn.ModuleList()).to(team.device)
        self.train, self.validation, self.measure_conversions = train, validation, measure_conversions
        self.seed = settings.seed
        freezing.prepare(model)
        self._result = self._weights = trainable(model, freezing, settings.epochs)
        trains = any(True for _ in self._weights.parameters())
        self.steps_per_epoch = -(-len(train) // settings.batch_size)
        self.total_steps = settings.epochs * self.steps_per_epoch if trains else 0
        self.parameters = count_trained(model, freezing, settings.epochs) if trains else 0
        if trains and team.sharded:  # a copy is sharded, so that the model itself stays whole
            model, self.objectives = copy.deepcopy(model), copy.deepcopy(self.objectives)
            self._weights = trainable(model, freezing, settings.epochs)
            parts = [*self._weights["backbone"].children(), *model.heads.values(), *self.objectives]
            shard(parts, team.device, team.processes)
        self.model = model
        states = freezing.states().to(team.device)
        kept = {"freezing": states} if len(states) else {}  # so that other checkpoints stay as they were
        self.modules = nn.ModuleDict({**self._weights, "objectives": self.objectives, **kept})
        optimizer = make_optimizer(model, settings, team.device, self.objectives)
        self.optimizers = {"main": team.prepare(optimizer)} if trains else {}
        self.unmerged: dict[str, Tensor] = {}
        self._step: nn.Module | None = None
        self._trained = frozenset[str]()
        self._multipliers: tuple[float, ...] = ()

    @property
    def weights(self) -> nn.Module:
        """The stages that train in any epoch, and the heads."""
        return self._weights

    @property
    def result(self) -> nn.Module:
        """The same of the model itself, which is never sharded."""
        return self._result

    def start_epoch(self, epoch: int, callback: Callback, interrupted: Event) -> None:
        """Freeze stages, run those that are frozen ahead, and put the rest in training mode.

        Raises:
            KeyboardInterrupt: Training was interrupted meanwhile.
        """
        model = self.model
        self.freezing.start_epoch(epoch)
        self._multipliers = self.freezing.apply(model, epoch)
        splits = (self.train, self.validation)
        run_frozen(splits, frozen_depth(self._multipliers), callback, self.team, interrupted)
        trained = frozenset(name for name, value in model.named_parameters() if value.requires_grad)
        if self._step is None or trained != self._trained:  # wrapping fixes which gradients are averaged over processes
            self._step = self.team.wrap(Step(model, self.team, self.objectives))
            self._trained = trained
        self.objectives.train()
        model.train()
        if model.vocoder:
            model.vocoder.eval()

    def batches(self, epoch: int, first: int) -> Iterable[Batch]:
        """This process's share of each batch; on a GPU the next one is prepared meanwhile."""
        batches = self.train.epoch(
            self.settings.batch_size,
            self.epoch_seed(epoch),
            first=first,
            rank=self.team.rank,
            processes=self.team.processes,
        )
        return ahead(batches) if self.team.device.type == "cuda" else batches

    def step(self, batch: Batch, number: int) -> Mapping[str, Tensor]:
        """Train one step at its learning rate."""
        assert self._step is not None
        for objective in self.objectives:
            cast(Objective, objective).progress = number / self.total_steps
        (optimizer,) = self.optimizers.values()
        set_rates(optimizer, self._rate(number), self.settings.backbone_rate, self._multipliers)
        return train_step(self._step, optimizer, batch.to(self.team.device), self.settings, self.team)

    def items(self, batch: Batch) -> int:
        """The number of segments in a batch."""
        return len(batch.speakers) if batch.share else 0

    def validate(self) -> dict[str, float]:
        """Evaluate the validation split, and measure conversions of it if the criterion needs them."""
        figures = evaluate(self.model, self.validation, self.team)
        if self.measure_conversions:
            if self.team.sharded:
                self.result.load_state_dict(whole(self.weights.state_dict()))
            figures |= self.team.agreed(self.measure_conversions() if self.team.is_main_process else {})
        return figures

    def record(
        self, state: TrainingState, train: Mapping[str, float], validation: Mapping[str, float], seconds: float
    ) -> dict[str, Any]:
        """The line of metrics.jsonl, with the learning rate at the end of the epoch."""
        return {
            "epoch": state.epoch,
            "learning_rate": self._rate((state.epoch + 1) * self.steps_per_epoch - 1),
            "trained_stages": sum(value > 0 for value in self._multipliers),
            "train": train,
            "validation": validation,
            "seconds": round(seconds, 3),
        }

    def finish(self, state: TrainingState, callback: Callback) -> None:
        """Let the strategy finish, and set the features to the stages that were frozen in the last epoch."""
        features, model = self.train.features, self.train.features.model
        if not self.epochs:
            depth = frozen_depth(self.freezing.apply(model, 0))
            run_frozen((self.train, self.validation), depth, callback, self.team)
            return
        if self._step is None:  # resumed after the last epoch
            last = max(0, state.epoch - 1)
            features.at(frozen_depth(self.freezing.apply(model, last)))
        model.eval()
        if self.freezing.is_small(model):
            self.unmerged = {name: tensor.detach().cpu().clone() for name, tensor in model.tensors().items()}
        self.freezing.finish(model)
        features.renew()  # the strategy may have frozen stages that it had trained

    def diverged(self, what: str) -> VczooError:
        """The error for a training that diverged, with the setting to change."""
        return diverged(what, self.settings)

    def _rate(self, number: int) -> float:
        return self.settings.learning_rate * rate_share(self.settings, number, self.total_steps)
