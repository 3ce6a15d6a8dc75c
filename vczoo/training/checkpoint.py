"""Checkpoints of fine-tuning: all of its state in one safetensors file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vczoo.errors import RunError, WeightsError
from vczoo.io.tensors import load_strictly
from vczoo.training.checkpoint_file import damaged, read_checkpoint, write_checkpoint
from vczoo.training.identity import Identity, check_identity
from vczoo.training.sharding import laid_out, whole

__all__ = ["CHECKPOINT", "TrainingState", "checkpoint_tensors", "load_checkpoint", "save_checkpoint"]

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class TrainingState:
    """The state of a fine-tune, without the tensors of the model and the optimizer.

    Attributes:
        identity: Everything that decides the result, from `vczoo.training.identity.identity_of`. A checkpoint that does
            not fit it is refused.
        epoch: The current epoch, or the next one.
        step: The number of finished steps in that epoch.
        best_score: The score of `best_epoch`, by the recipe's criterion. Tuples compare; lower is better.
        best_epoch: The epoch whose weights are to be kept so far: the best one, or with `keep: last` the last; -1
            before the first validation.
        history: One record per epoch, as in metrics.jsonl.
        sums: The sums of the current epoch's figures, weighted by items.
        items: The number of items in those sums.
        seconds: The time spent on training, without interruptions.
    """

    identity: Identity
    epoch: int = 0
    step: int = 0
    best_score: tuple[float, ...] = (float("inf"),)
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    items: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.best_score = tuple(self.best_score)  # JSON has no tuples


def checkpoint_tensors(
    tensors: nn.Module, best: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """All tensors of a checkpoint: the trained modules, their best state so far, and the optimizer.

    Sharded tensors are gathered, so all processes must call this.
    """
    flat = {f"model.{name}": tensor for name, tensor in whole(tensors.state_dict()).items()}
    flat |= {f"best.{name}": tensor for name, tensor in best.items()}
    for index, values in optimizer.state_dict()["state"].items():
        moments = {name: torch.as_tensor(value) for name, value in values.items()}
        flat |= {f"optimizer.{index}.{name}": tensor for name, tensor in whole(moments).items()}
    # safetensors accepts neither shared nor strided storage.
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in flat.items()}


def save_checkpoint(path: Path, state: TrainingState, flat: dict[str, Tensor]) -> None:
    """Write a checkpoint with the state and the tensors.

    Raises:
        RunError: The disk cannot be written. The previous checkpoint is kept.
    """
    write_checkpoint(path, asdict(state), flat)


def load_checkpoint(
    path: Path, identity: Identity, tensors: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[TrainingState, dict[str, Tensor]]:
    """Read a checkpoint into the model and the optimizer.

    Args:
        path: The file to read.
        identity: The identity that the checkpoint must fit.
        tensors: The modules that train.
        optimizer: Their optimizer.

    Returns:
        The state with the new identity, and the best tensors so far. Stages that only train in the added epochs keep
        their weights.

    Raises:
        RunError: The checkpoint is damaged, or it belongs to a different recipe, other recordings or other weights.
    """
    plain, flat = read_checkpoint(path)
    try:
        state = TrainingState(**plain)
    except TypeError as error:
        raise damaged(path, error) from error
    check_identity(state.identity, identity, path)
    grown, state.identity = state.identity != identity, identity
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
    for name, tensor in flat.items():
        group, _, rest = name.partition(".")
        if group in groups:
            groups[group][rest] = tensor
    try:
        current = tensors.state_dict()
        if grown:
            initial = whole({name: value for name, value in current.items() if name not in groups["model"]})
            groups["model"] |= initial
            groups["best"] |= initial
        loaded = {name: laid_out(value, current.get(name, value)) for name, value in groups["model"].items()}
        load_strictly(tensors, loaded, where=str(path))
    except WeightsError as error:
        raise RunError(f"{path}: this checkpoint cannot be resumed: {error}") from error
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    values: dict[int, dict[str, Tensor]] = {}
    for name, tensor in groups["optimizer"].items():
        index, _, key = name.partition(".")
        values.setdefault(int(index), {})[key] = laid_out(tensor, parameters[int(index)])
    optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
    return state, groups["best"]
