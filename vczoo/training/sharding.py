"""Fully sharded data parallelism (FSDP): sharding of modules, and gathering of their tensors.

Source: arXiv:2304.11277, through torch's `fully_shard`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["laid_out", "shard", "whole"]

HEAD_METHODS = (
    "embed",
    "logits",
    "log_probabilities",
    "loss",
    "transcribe",
)  # methods that training calls besides `forward`
OPEN_HEAD_METHODS = ("training_loss", "predictions")  # of a head that has no `loss`, for a task of its own


def shard(modules: Iterable[nn.Module], device: torch.device, processes: int) -> None:
    """Shard the parameters of modules over the processes. They are gathered while a module runs."""
    # Imported here, because the import takes most of a second, which training in one process should not pay.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (processes,))
    for module in modules:
        if not any(True for _ in module.parameters()):
            continue
        fully_shard(module, mesh=mesh)
        for name in HEAD_METHODS if hasattr(module, "loss") else OPEN_HEAD_METHODS:
            if hasattr(module, name):
                register_fsdp_forward_method(module, name)


def whole(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    """Copies of the tensors on the CPU, gathered from all processes, which must all call this."""
    return {
        name: (tensor.full_tensor() if _in_parts(tensor) else tensor.detach()).to("cpu", copy=True)
        for name, tensor in tensors.items()
    }


def laid_out(tensor: Tensor, like: Any) -> Tensor:
    """Shard a whole tensor like another one of its shape. If that one is not sharded, return the tensor itself."""
    if not _in_parts(like) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def _in_parts(tensor: Any) -> bool:
    """Whether a tensor is a DTensor. Torch's module for those is imported if there is one."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)
