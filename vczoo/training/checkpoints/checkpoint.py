"""Checkpoints of training: its whole state, which is written to one safetensors file and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vczoo.errors import RunError, WeightsError
from vczoo.io.tensors import load_strictly
from vczoo.training.checkpoints.checkpoint_file import damaged, read_checkpoint, write_checkpoint
from vczoo.training.checkpoints.identity import Identity, check_identity
from vczoo.training.checkpoints.weight_average import WeightAverage
from vczoo.training.sharding import laid_out, whole

__all__ = ["CHECKPOINT", "LOG", "TrainingState"]

CHECKPOINT = "checkpoint.safetensors"
LOG = "metrics.jsonl"  # one line per epoch

Groups = dict[str, dict[str, Tensor]]


@dataclass
class TrainingState:
    """The state of a training, which is what a checkpoint holds.

    Attributes:
        identity: Everything that decides the result, from `identity_of`. A checkpoint that does not fit it is refused.
        epoch: The current epoch, or the next one.
        step: The number of finished steps in that epoch.
        best_score: The score of `best_epoch`, by the recipe's criterion. Tuples compare; lower is better.
        best_epoch: The epoch whose weights are to be kept so far: the best one, or with `keep: last` the last; -1
            before the first validation.
        history: One record per epoch, as in metrics.jsonl.
        sums: The sums of the current epoch's figures, weighted by items.
        counts: The number of items in each of those sums.
        seconds: The time spent on training, without interruptions.
        modules: Everything that training changes.
        optimizers: The optimizers by name.
        average: The moving average of the weights; None if they are not averaged.
        kept: The weights to keep so far, whole and on the CPU; empty if those of the last step are kept.
    """

    identity: Identity = field(default_factory=dict)
    epoch: int = 0
    step: int = 0
    best_score: tuple[float, ...] = (float("inf"),)
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    modules: nn.Module = field(default_factory=nn.Module, repr=False)
    optimizers: Mapping[str, torch.optim.Optimizer] = field(default_factory=dict, repr=False)
    average: WeightAverage | None = field(default=None, repr=False)
    kept: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def tensors(self) -> dict[str, Tensor]:
        """Copies of all tensors, by the names that they have in a checkpoint.

        Sharded tensors are gathered, so all processes must call this.
        """
        flat = {f"modules.{name}": tensor for name, tensor in whole(self.modules.state_dict()).items()}
        if self.average:
            flat |= {f"average.{name}": tensor for name, tensor in whole(self.average.tensors).items()}
        flat |= {f"kept.{name}": tensor for name, tensor in self.kept.items()}
        for optimizer_name, optimizer in self.optimizers.items():
            for index, values in optimizer.state_dict()["state"].items():
                moments = whole({name: torch.as_tensor(value) for name, value in values.items()})
                flat |= {f"optimizers.{optimizer_name}.{index}.{name}": tensor for name, tensor in moments.items()}
        # safetensors accepts neither shared nor strided storage.
        return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in flat.items()}

    def save(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        """Write a checkpoint with these `tensors()`.

        Raises:
            RunError: The disk cannot be written. The previous checkpoint is kept.
        """
        write_checkpoint(path, {name: getattr(self, name) for name in PLAIN}, tensors)

    def load(self, path: Path) -> None:
        """Read a checkpoint into this state, its modules and its optimizers.

        Stages that only train in the added epochs keep their weights.

        Raises:
            RunError: The checkpoint is damaged, another version of vczoo wrote it, or it belongs to a different recipe,
                other recordings or other weights.
        """
        plain, flat = read_checkpoint(path)
        if plain.keys() != set(PLAIN):
            raise damaged(path, "its state has other entries than expected")
        check_identity(plain["identity"], self.identity, path)
        groups: Groups = {"modules": {}, "average": {}, "kept": {}, "optimizers": {}}
        for name, tensor in flat.items():
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = tensor
        try:
            self._load_modules(groups, path, grown=plain["identity"] != self.identity)
        except WeightsError as error:
            raise RunError(f"{path}: this checkpoint cannot be resumed: {error}") from error
        for name, optimizer in self.optimizers.items():
            _load_optimizer(optimizer, name, groups["optimizers"])
        self.kept = groups["kept"]
        for name in PLAIN:
            if name != "identity":
                setattr(self, name, plain[name])
        self.best_score = tuple(self.best_score)  # JSON has no tuples

    def _load_modules(self, groups: Groups, path: Path, *, grown: bool) -> None:
        current = self.modules.state_dict()
        if grown:
            initial = {name: value for name, value in current.items() if name not in groups["modules"]}
            groups["modules"] |= whole(initial)
            for group in ("average", "kept"):
                groups[group] |= {name: groups["modules"][name] for name in self._missing(groups[group])}
        laid = {name: laid_out(value, current.get(name, value)) for name, value in groups["modules"].items()}
        load_strictly(self.modules, laid, where=str(path))
        if bool(self.average) != bool(groups["average"]):
            raise WeightsError("it was started with another average of the weights")
        if self.average:
            for name, tensor in self.average.tensors.items():
                tensor.copy_(laid_out(groups["average"][name], tensor))

    def _missing(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """The names of weights that a group of a checkpoint lacks, because they train in the added epochs only."""
        weights = self.average.tensors if self.average else self.modules.state_dict()
        return [name for name in weights if tensors and name not in tensors]


PLAIN = ("identity", "epoch", "step", "best_score", "best_epoch", "history", "sums", "counts", "seconds")


def _load_optimizer(optimizer: torch.optim.Optimizer, optimizer_name: str, tensors: Mapping[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    values: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        owner, index, key = name.split(".", 2)
        if owner == optimizer_name:
            values.setdefault(int(index), {})[key] = laid_out(tensor, parameters[int(index)])
    optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
