"""One training step, and the evaluation of a split."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.errors import VczooError
from vczoo.evaluation.metrics.error_rates import rates
from vczoo.models.model import Model
from vczoo.models.training_settings import Training
from vczoo.modules.interfaces.heads import Answer, Loss
from vczoo.modules.nn.convnext import mean_absolute_error
from vczoo.training.activations import run_suffix
from vczoo.training.batch import Batch
from vczoo.training.distributed import DistributedContext
from vczoo.training.segments import SegmentBatches

__all__ = ["Step", "ahead", "diverged", "evaluate", "train_step"]


class Step(nn.Module):
    """A model's loss as the `forward` of a module, which Accelerate can wrap for several processes and precisions.

    Args:
        model: The model whose loss is computed.
        team: The processes that train it; None for this process alone.
        consistency: Weight of the distance between the contents of two passes over the same segments (Pi-model, Laine
            and Aila, arXiv:1610.02242).
    """

    def __init__(self, model: Model, team: DistributedContext | None = None, *, consistency: float = 0.0) -> None:
        super().__init__()
        self.model, self.team, self.consistency = model, team, consistency

    def forward(self, batch: Batch) -> Loss:
        """Run the remaining stages, then the heads."""
        with self.team.accelerator.autocast() if self.team else nullcontext():
            content = self._content(batch)
            loss = self._loss(batch, content)
            if not self.consistency or batch.content is not None:
                return loss
            distance = mean_absolute_error(content, self._content(batch))
            value = loss.value + self.consistency * distance
            return Loss(value, {**loss.metrics, "consistency.l1": distance.detach()})

    def examine(self, batch: Batch) -> tuple[Loss, list[Answer]]:
        """The loss, and the answers of text and label heads."""
        with self.team.accelerator.autocast() if self.team else nullcontext():
            content = self._content(batch)
            return self._loss(batch, content), self.model.answers(content, batch.texts, batch.labels)

    def _content(self, batch: Batch) -> Frames:
        if batch.content is not None:
            return batch.content
        if batch.activations is not None:
            return run_suffix(self.model.backbone, batch.activations, batch.depth)
        assert batch.wave is not None
        return self.model.content(batch.wave)

    def _loss(self, batch: Batch, content: Frames) -> Loss:
        return self.model.loss(
            content,
            batch.speakers,
            batch.pitch,
            batch.target,
            batch.reference,
            has_unknown_speakers=batch.has_unknown_speakers,
            texts=batch.texts,
            labels=batch.labels,
            teacher_frames=batch.teacher_frames,
        )


def diverged(what: str, settings: Training) -> VczooError:
    """The error for a training that diverged, as `what` shows."""
    rate = settings.learning_rate
    return VczooError(
        f"{what}: training diverged. Lower training.learning_rate (it is {rate:g}), and start again in a new folder"
    )


@torch.inference_mode()
def evaluate(model: Model, clips: SegmentBatches, team: DistributedContext | None = None) -> dict[str, float]:
    """Evaluate a model on a split: losses and figures averaged over whole utterances, in eval mode.

    The figures are `loss`, `<head>.loss`, `<head>.accuracy`, and those of
    `vczoo.evaluation.metrics.error_rates.rates`. An empty split gives no figures. Several processes share the
    utterances, and all get the same figures.
    """
    model.eval()
    device = next(model.parameters()).device
    step = Step(model, team)
    # With a sharded model, all processes must run the same batches, because each gathers parameters from the others.
    rank, processes = (team.rank, team.processes) if team and not team.sharded else (0, 1)
    batch_figures: list[tuple[str, float, int]] = []
    answers: list[Answer] = []
    for batch in clips.whole(rank=rank, processes=processes):
        loss, batch_answers = step.examine(batch.to(device))
        answers += batch_answers
        figures = {"loss": loss.value, **loss.metrics}
        batch_figures += [(name, float(value), len(batch.speakers)) for name, value in figures.items()]
    sums: dict[str, tuple[float, int]] = {}
    for name, value, items in team.everything(batch_figures) if team else batch_figures:
        total, count = sums.get(name, (0.0, 0))
        sums[name] = (total + value * items, count + items)
    averages = {name: total / count for name, (total, count) in sums.items()}
    return averages | rates(team.everything(answers) if team else answers)


def ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the same batches; a thread prepares the next one while the current one trains."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def train_step(
    step: nn.Module,
    model: Model,
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
    team.clip(model.parameters(), settings.clip_norm)
    optimizer.step()
    return {"loss": loss.value.detach(), **loss.metrics}
