"""Modules in, the same held in parts by the processes of a team (FSDP) out; and tensors, whole or in parts.

Source: fully sharded data parallelism, arXiv:2304.11277, as torch's `fully_shard`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["laid_out", "shard", "whole"]

HEAD_METHODS = ("embed", "logits", "log_probabilities", "loss", "transcribe")  # what training calls beside `forward`


def shard(modules: Iterable[nn.Module], device: torch.device, processes: int) -> None:
    """Let each process hold its part of the parameters of these modules; they are gathered while a module runs."""
    # Here and not above: it is most of a second to import, for those who train alone.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (processes,))
    for module in modules:
        if not any(True for _ in module.parameters()):
            continue
        fully_shard(module, mesh=mesh)
        for name in HEAD_METHODS:
            if hasattr(module, name):
                register_fsdp_forward_method(module, name)


def whole(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    """Copies of the tensors with all their parts, on the CPU; all processes must ask."""
    return {
        name: (tensor.full_tensor() if _in_parts(tensor) else tensor.detach()).to("cpu", copy=True)
        for name, tensor in tensors.items()
    }


def laid_out(tensor: Tensor, like: Any) -> Tensor:
    """A whole tensor in parts as another one of its shape is, or as it is where that one is whole."""
    if not _in_parts(like) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def _in_parts(tensor: Any) -> bool:
    """Whether it is torch's DTensor, whose module is there where one is."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)
