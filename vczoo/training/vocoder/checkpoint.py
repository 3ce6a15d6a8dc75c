"""Checkpoints of vocoder training: all of its state in one safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vczoo.errors import RunError, WeightsError
from vczoo.io.tensors import load_strictly
from vczoo.training.checkpoint_file import damaged, read_checkpoint, write_checkpoint

__all__ = ["VocoderState", "load_vocoder_state", "save_vocoder_state"]

Networks = Mapping[str, nn.Module]
Optimizers = Mapping[str, torch.optim.Optimizer]


@dataclass
class VocoderState:
    """The state of a vocoder's training, without the tensors of its networks and optimizers.

    Attributes:
        identity: A digest of the vocoder, settings and corpus. A checkpoint with a different one is refused.
        step: The number of finished steps.
        history: One record per validation, as in metrics.jsonl.
        sums: The sum of each loss since the last validation.
        counts: The number of steps in each sum; discriminators may have joined later than the other losses.
        baseline: Griffin-Lim's distances on the held-out recordings.
        seconds: The time spent on training, without interruptions.
    """

    identity: str
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    baseline: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def count(self, losses: Mapping[str, float]) -> None:
        """Record a finished step and its losses."""
        self.step += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def record(self, learning_rate: float, figures: Mapping[str, Any]) -> dict[str, Any]:
        """Add a validation to the history, with the mean losses since the previous one."""
        train = {name: value / self.counts[name] for name, value in self.sums.items()}
        self.history.append({"step": self.step, "learning_rate": learning_rate, "train": train, **figures})
        self.history[-1]["seconds"] = round(self.seconds, 3)
        self.sums, self.counts = {}, {}
        return self.history[-1]


def save_vocoder_state(path: Path, state: VocoderState, networks: Networks, optimizers: Optimizers) -> None:
    """Write a checkpoint with the state, the networks and their optimizers.

    Args:
        path: The file to write.
        state: The state of the training.
        networks: The networks by name.
        optimizers: The optimizers, by the same names.

    Raises:
        RunError: The disk cannot be written. The previous checkpoint is kept.
    """
    flat: dict[str, Tensor] = {}
    for network, module in networks.items():
        flat |= {f"{network}/{name}": tensor for name, tensor in module.state_dict().items()}
        optimizer = optimizers.get(network)  # averaged weights have none
        for index, values in optimizer.state_dict()["state"].items() if optimizer else ():
            flat |= {f"{network}.optimizer/{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
    # safetensors accepts neither shared nor strided storage.
    flat = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in flat.items()}
    write_checkpoint(path, asdict(state), flat)


def load_vocoder_state(path: Path, identity: str, networks: Networks, optimizers: Optimizers) -> VocoderState:
    """Read a checkpoint into networks and optimizers.

    Args:
        path: The file to read.
        identity: The digest that the checkpoint must have.
        networks: The networks by name.
        optimizers: The optimizers, by the same names.

    Returns:
        The state of the training.

    Raises:
        RunError: The checkpoint is damaged, or it belongs to a different vocoder, other settings or other recordings.
    """
    plain, flat = read_checkpoint(path)
    try:
        state = VocoderState(**plain)
    except TypeError as error:
        raise damaged(path, error) from error
    if state.identity != identity:
        raise RunError(
            f"{path}: it was made with another recipe, other weights or other recordings; resume with what it was "
            "started with, or choose another --out"
        )
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in flat.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    try:
        for network, module in networks.items():
            load_strictly(module, groups.get(network, {}), where=str(path))
    except WeightsError as error:
        raise RunError(f"{path}: this checkpoint cannot be resumed: {error}") from error
    for network, optimizer in optimizers.items():
        values: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups.get(f"{network}.optimizer", {}).items():
            index, _, key = name.partition(".")
            values.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
    return state
