"""One training step, and the evaluation of a split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import cast

import torch
from torch import Tensor, nn

from vczoo.errors import VczooError
from vczoo.models.model import Model
from vczoo.models.training_settings import Training
from vczoo.modules.interfaces.head import HeadBatch, Loss, Prediction
from vczoo.training.distributed import DistributedContext
from vczoo.training.features.batch import Batch, content_of
from vczoo.training.features.segments import SegmentBatches
from vczoo.training.objectives.objective import Objective

__all__ = ["Step", "ahead", "diverged", "evaluate", "train_step"]


class Step(nn.Module):
    """A model's loss as the `forward` of a module, which Accelerate can wrap for several processes and precisions.

    Args:
        model: The model whose loss is computed.
        team: The processes that train it; None for this process alone.
        objectives: Terms of the loss besides those of the heads, from `vczoo.training.objectives.recipe_objectives`.
    """

    def __init__(
        self, model: Model, team: DistributedContext | None = None, objectives: Iterable[nn.Module] = ()
    ) -> None:
        super().__init__()
        self.model, self.team = model, team
        self.objectives = nn.ModuleList(objectives)
        self.model_parameters = tuple(model.parameters())  # listed once: in a large model, that takes as long as a head

    def forward(self, batch: Batch) -> Loss:
        """Run the remaining stages, then the heads, then the objectives."""
        with self.team.accelerator.autocast() if self.team else nullcontext():
            heads_batch = batch.for_heads(self.model, content_of(self.model, batch))
            objectives = cast("list[Objective]", list(self.objectives))

            def read(name: str, batch: HeadBatch) -> HeadBatch:
                for objective in objectives:
                    batch = objective.head_batch(name, batch)
                return batch

            losses = self.model.losses(heads_batch, read)
            value, metrics, _ = self.model.total(heads_batch, losses)
            for objective in objectives:
                if term := objective(self.model, batch, heads_batch, losses):
                    value = value + term.value
                    named = {f"{objective.name}.{name}": figure for name, figure in term.metrics.items()}
                    metrics = {**metrics, **named}
            return Loss(value, metrics)

    def examine(self, batch: Batch) -> tuple[Loss, list[tuple[str, Prediction]]]:
        """The heads' loss, and their predictions."""
        with self.team.accelerator.autocast() if self.team else nullcontext():
            heads_batch = batch.for_heads(self.model, content_of(self.model, batch))
            return self.model.loss(heads_batch), self.model.predictions(heads_batch)


def diverged(what: str, settings: Training) -> VczooError:
    """The error for a training that diverged, as `what` shows."""
    rate = settings.learning_rate
    return VczooError(
        f"{what}: training diverged. Lower training.learning_rate (it is {rate:g}), and start again in a new folder"
    )


@torch.inference_mode()
def evaluate(model: Model, clips: SegmentBatches, team: DistributedContext | None = None) -> dict[str, float]:
    """Evaluate a model on a split: losses and figures averaged over whole utterances, in eval mode.

    The figures are `loss`, `<head>.loss`, `<head>.accuracy` and so on, and the figures of each head's predictions. An
    empty split gives no figures. Several processes share the utterances, and all get the same figures.
    """
    model.eval()
    device = next(model.parameters()).device
    step = Step(model, team)
    # With a sharded model, all processes must run the same batches, because each gathers parameters from the others.
    rank, processes = (team.rank, team.processes) if team and not team.sharded else (0, 1)
    batch_figures: list[tuple[str, float, int]] = []
    predictions: list[tuple[str, Prediction]] = []
    for batch in clips.whole(rank=rank, processes=processes):
        loss, batch_predictions = step.examine(batch.to(device))
        predictions += batch_predictions
        figures = {"loss": loss.value, **loss.metrics}
        batch_figures += [(name, float(value), len(batch.speakers)) for name, value in figures.items()]
    sums: dict[str, tuple[float, int]] = {}
    for name, value, items in team.everything(batch_figures) if team else batch_figures:
        total, count = sums.get(name, (0.0, 0))
        sums[name] = (total + value * items, count + items)
    averages = {name: total / count for name, (total, count) in sums.items()}
    return averages | model.figures(team.everything(predictions) if team else predictions)


def ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the same batches; a thread prepares the next one while the current one trains."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def train_step(
    step: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    settings: Training,
    team: DistributedContext,
) -> dict[str, Tensor]:
    """Run forward, backward and one step of the optimizer, without reading any value from the device.

    Returns:
        `loss` and the heads' figures, averaged over the batch.
    """
    loss = step(batch)
    optimizer.zero_grad(set_to_none=True)
    team.accelerator.backward(loss.value * batch.share)
    unwrapped = cast(Step, getattr(step, "module", step))  # it may be wrapped for several processes
    team.clip(unwrapped.model_parameters, settings.clip_norm)
    if own := [parameter for parameter in unwrapped.objectives.parameters() if parameter.grad is not None]:
        nn.utils.clip_grad_norm_(own, settings.clip_norm)
    optimizer.step()
    return {"loss": loss.value.detach(), **loss.metrics}
