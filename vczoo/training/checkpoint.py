"""All training state in one safetensors file, so that an interrupted fine-tune continues as if it had not been."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from vczoo.errors import RunError, WeightsError
from vczoo.io.tensor_file import write_tensors
from vczoo.io.tensors import load_strictly, read_tensors
from vczoo.training.sharding import laid_out, whole

__all__ = ["CHECKPOINT", "TrainingState", "checkpoint_tensors", "load_checkpoint", "save_checkpoint"]

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class TrainingState:
    """Everything that training is, beside the tensors of the model and the optimizer.

    Attributes:
        identity: of recipe, corpus and the weights at the start; another's checkpoint is refused.
        epoch: that runs or runs next.
        step: steps of it that are done.
        best_score: of the best epoch so far, by the recipe's criterion; the lower, as tuples compare, the better.
        best_epoch: where it was; -1 before the first validation.
        history: one record an epoch, as in metrics.jsonl.
        sums: of the running epoch's figures, weighted by items.
        items: of the running epoch so far.
        seconds: spent on training, interruptions left out.
    """

    identity: str
    epoch: int = 0
    step: int = 0
    best_score: tuple[float, ...] = (float("inf"),)
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    items: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.best_score = tuple(self.best_score)  # JSON knows no tuples


def checkpoint_tensors(
    tensors: nn.Module, best: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """What trains, the best of it so far and the optimizer: all tensors of a checkpoint, whole.

    All processes of a team must ask.
    """
    flat = {f"model.{name}": tensor for name, tensor in whole(tensors.state_dict()).items()}
    flat |= {f"best.{name}": tensor for name, tensor in best.items()}
    for index, values in optimizer.state_dict()["state"].items():
        kept = {name: torch.as_tensor(value) for name, value in values.items()}
        flat |= {f"optimizer.{index}.{name}": tensor for name, tensor in whole(kept).items()}
    # safetensors takes neither shared nor strided storage.
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in flat.items()}


def save_checkpoint(path: Path, state: TrainingState, flat: dict[str, Tensor]) -> None:
    """Write the state and the tensors.

    Raises:
        RunError: the disk refuses; the checkpoint before this one stays.
    """
    try:
        write_tensors(path, flat, {"state": json.dumps(asdict(state))})
    except OSError as error:
        raise RunError(f"{path}: the checkpoint cannot be written ({error}); free some space and resume") from error


def load_checkpoint(
    path: Path, identity: str, tensors: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[TrainingState, dict[str, Tensor]]:
    """Read a checkpoint into the model and the optimizer.

    Returns:
        The state, and the best tensors so far.

    Raises:
        RunError: it is damaged, or it is of another recipe, other recordings or other weights.
    """
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
        state = TrainingState(**json.loads(notes["state"]))
        flat = read_tensors(path)
    except (WeightsError, OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: this checkpoint is damaged ({error}); remove it to start afresh") from error
    except Exception as error:  # safetensors' own error is not exported by its stubs in every version
        raise RunError(f"{path}: this checkpoint is damaged ({error}); remove it to start afresh") from error
    if state.identity != identity:
        raise RunError(
            f"{path}: it was made with another recipe, other recordings or other weights; resume with what it was "
            "started with, or choose another --out"
        )
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
    for name, tensor in flat.items():
        group, _, rest = name.partition(".")
        if group in groups:
            groups[group][rest] = tensor
    try:
        there = tensors.state_dict()
        given = {name: laid_out(value, there.get(name, value)) for name, value in groups["model"].items()}
        load_strictly(tensors, given, where=str(path))
    except WeightsError as error:
        raise RunError(f"{path}: this checkpoint cannot be resumed: {error}") from error
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    values: dict[int, dict[str, Tensor]] = {}
    for name, tensor in groups["optimizer"].items():
        index, _, key = name.partition(".")
        values.setdefault(int(index), {})[key] = laid_out(tensor, parameters[int(index)])
    optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
    return state, groups["best"]
