"""Optimizer, learning-rate schedule and trainable modules."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from vczoo.models.model import Model
from vczoo.models.model_freezing import ModelFreezing
from vczoo.models.training_settings import Training

__all__ = ["count_trained", "make_optimizer", "rate_share", "set_rates", "trainable"]


class _Eager(torch.optim.Optimizer):
    """An optimizer of torch without the wrappers that torch.compile needs.

    They import torch._dynamo when they are first called, which takes as long as the import of torch.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class _Adam(_Eager, torch.optim.Adam):
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))  # one of the wrappers turns gradients off


class _AdamW(_Eager, torch.optim.AdamW):
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


def trainable(model: Model, freezing: ModelFreezing, epochs: int) -> nn.ModuleDict:
    """All modules that training can change, by name: the stages that the strategy ever unfreezes, and the heads."""
    stages = model.backbone.stages()
    distinct = {freezing.multipliers(len(stages), epoch) for epoch in range(epochs)}
    ever = [max(values) for values in zip(*distinct, strict=True)]
    thawed = {stage.name: stage.module for stage, most in zip(stages, ever, strict=True) if most > 0}
    return nn.ModuleDict({"backbone": nn.ModuleDict(thawed), "heads": model.heads})


def count_trained(model: Model, freezing: ModelFreezing, epochs: int) -> int:
    """The number of parameters that train in at least one epoch.

    Side effect: this changes the freezing state; call `freezing.apply` afterwards.
    """
    trained: dict[int, int] = {}
    for epoch in freezing.distinct_epochs(len(model.backbone.stages()), epochs):
        freezing.apply(model, epoch)
        for part in (model.backbone, model.heads):
            trained |= {id(value): value.numel() for value in part.parameters() if value.requires_grad}
    return sum(trained.values())


def make_optimizer(
    model: Model, settings: Training, device: torch.device, objectives: nn.ModuleList | None = None
) -> torch.optim.Optimizer:
    """Build the optimizer, with one parameter group per stage, in order, and the heads with the objectives last."""
    groups: Sequence[Any] = [{"params": list(stage.module.parameters())} for stage in model.backbone.stages()]
    groups = [*groups, {"params": [*model.heads.parameters(), *(objectives or nn.ModuleList()).parameters()]}]
    fused = device.type in {"cpu", "cuda"}
    if settings.optimizer == "adam":
        return _Adam(groups, lr=settings.learning_rate, fused=fused)
    return _AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=fused)


def set_rates(optimizer: torch.optim.Optimizer, rate: float, backbone: float, multipliers: Sequence[float]) -> None:
    """Set the learning rate of each stage and of the heads."""
    # A frozen parameter has no gradient, so the optimizer skips it: no decay, no momentum.
    for group, multiplier in zip(optimizer.param_groups, [*(backbone * m for m in multipliers), 1.0], strict=True):
        group["lr"] = rate * multiplier


def rate_share(settings: Training, step: int, total: int) -> float:
    """Factor on the learning rate at a step: it rises over the warm-up, then falls to 0 or stays constant."""
    warm = round(settings.warmup * total)
    if step < warm:
        return (step + 1) / warm
    progress = (step - warm) / max(1, total - warm)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - progress if settings.schedule == "linear" else 1.0
