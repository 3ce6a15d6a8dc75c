"""All state of a vocoder's training in one safetensors file, so that it continues as if it had not been interrupted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from vczoo.errors import RunError, WeightsError
from vczoo.io.tensor_file import write_tensors
from vczoo.io.tensors import load_strictly, read_tensors

__all__ = ["VocoderState", "load_vocoder_state", "save_vocoder_state"]

Networks = Mapping[str, nn.Module]
Optimizers = Mapping[str, torch.optim.Optimizer]


@dataclass
class VocoderState:
    """Everything that training is, beside the tensors of networks and optimizers.

    Attributes:
        identity: of vocoder, settings and corpus; another's checkpoint is refused.
        step: steps that are done.
        history: one record a validation, as in metrics.jsonl.
        sums: of each loss since the last validation.
        counts: of the steps in them; discriminators may have joined later than the others.
        baseline: Griffin-Lim's distances on the held-out recordings.
        seconds: spent on training, interruptions left out.
    """

    identity: str
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    baseline: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def count(self, losses: Mapping[str, float]) -> None:
        """Note that a step is done, with the losses that it had."""
        self.step += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def record(self, learning_rate: float, figures: Mapping[str, Any]) -> dict[str, Any]:
        """Add a validation to the history, with the mean losses since the one before it."""
        train = {name: value / self.counts[name] for name, value in self.sums.items()}
        self.history.append({"step": self.step, "learning_rate": learning_rate, "train": train, **figures})
        self.history[-1]["seconds"] = round(self.seconds, 3)
        self.sums, self.counts = {}, {}
        return self.history[-1]


def save_vocoder_state(path: Path, state: VocoderState, networks: Networks, optimizers: Optimizers) -> None:
    """Write the state, the networks and their optimizers, both by the networks' names.

    Raises:
        RunError: the disk refuses; the checkpoint before this one stays.
    """
    flat: dict[str, Tensor] = {}
    for network, module in networks.items():
        flat |= {f"{network}/{name}": tensor for name, tensor in module.state_dict().items()}
        for index, values in optimizers[network].state_dict()["state"].items():
            flat |= {f"{network}.optimizer/{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
    # safetensors takes neither shared nor strided storage.
    flat = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in flat.items()}
    try:
        write_tensors(path, flat, {"state": json.dumps(asdict(state))})
    except OSError as error:
        raise RunError(f"{path}: the checkpoint cannot be written ({error}); free some space and resume") from error


def load_vocoder_state(path: Path, identity: str, networks: Networks, optimizers: Optimizers) -> VocoderState:
    """Read a checkpoint into networks and optimizers.

    Raises:
        RunError: it is damaged, or it is of another vocoder, other settings or other recordings.
    """
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
        state = VocoderState(**json.loads(notes["state"]))
        flat = read_tensors(path)
    except Exception as error:  # safetensors' own error is not exported by its stubs in every version
        raise RunError(f"{path}: this checkpoint is damaged ({error}); remove it to start afresh") from error
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
