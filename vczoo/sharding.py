"""Modules in, the same held in parts by the processes of a team (FSDP) out; and tensors, whole or in parts.

Source: fully sharded data parallelism, arXiv:2304.11277, as torch's `fully_shard`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

__all__ = ["laid_out", "shard", "whole"]

HEAD_METHODS = ("embed", "logits", "loss")  # what training calls beside `forward`


def shard(modules: Iterable[nn.Module], device: torch.device, processes: int) -> None:
    """Let each process hold its part of the parameters of these modules; they are gathered while a module runs."""
    mesh = init_device_mesh(device.type, (processes,))
    for module in modules:
        if not any(True for _ in module.parameters()):
            continue
        fully_shard(module, mesh=mesh)
        for name in HEAD_METHODS:
            if hasattr(module, name):
                register_fsdp_forward_method(module, name)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the tensors with all their parts, on the CPU; all processes must ask."""
    return {
        name: (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.detach()).to("cpu", copy=True)
        for name, tensor in tensors.items()
    }


def laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor in parts as another one of its shape is, or as it is where that one is whole."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
